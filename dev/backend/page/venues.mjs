// Other venues on the page: the members of a sum in words, and the drawer's bars.

import { element, order, say, set } from './dom.mjs';
import * as format from './format.mjs';

const NAMES = { binance: 'Binance', bybit: 'Bybit', okx: 'OKX', gate: 'Gate', hyperliquid: 'Hyperliquid', bitget: 'Bitget' };
const WHY = {
  unknown_sides: 'sides unknown',
  both_sides: 'both sides',
  stale: 'stale',
  price_off: 'price off',
  absurd: 'absurd',
  jump: 'jumped',
  frozen: 'frozen',
  meaning_changed: 'counts otherwise',
};

const nameOf = (venue) => NAMES[venue] ?? venue;

/** What the sum over all venues lacks: those that cannot be read now. Pure. */
export const lacking = (venues) => (venues?.away.length ? `without ${venues.away.map(nameOf).join(', ')}` : '');
const reason = (why) => WHY[why] ?? why.replaceAll('_', ' ');

/** The contracts of a symbol's sum over venues, one a line; what is not in it with the reason. Pure. */
export function members(venues, symbol, nowMs) {
  const row = venues?.rows[symbol];
  if (!row) return 'no other venue is known to have it';
  return row.contracts
    .map(([venue, name, usd, , at, why]) => {
      const told = `${nameOf(venue)} ${name}: ${format.usd(usd)}, ${format.roughAge(nowMs - at)}`;
      return why ? `${told}; not in the sum: ${reason(why)}` : told;
    })
    .join('\n');
}

/** Contracts by venue for the bars, the largest first: [key, label, share of the largest, usd, at, side]. Pure. */
export function bars(row) {
  const largest = Math.max(...row.contracts.map(([, , usd]) => usd), 1);
  const shown = row.contracts.map(([venue, name, usd, sides, at, why]) => {
    return { key: `${venue} ${name}`, label: `${nameOf(venue)} ${name}`, share: usd / largest, usd, at, out: why !== '', side: why ? reason(why) : `${sides} side` };
  });
  return shown.sort((a, b) => b.usd - a.usd);
}

export class Bars {
  constructor(section) {
    this.section = section;
    this.list = section.querySelector('ol');
    this.sum = section.querySelector('h3 b');
    this.items = new Map();
  }

  /** `row` is null where no other venue has the symbol. */
  show(row, nowMs) {
    this.section.hidden = row === null;
    if (row === null) return;
    say(this.sum, `sum of one side: ${format.usd(row.usd)}`);
    const shown = bars(row);
    const keys = new Set(shown.map(({ key }) => key));
    for (const [key, item] of this.items) if (!keys.has(key)) this.drop(key, item);
    for (const bar of shown) this.write(bar, nowMs);
    order(this.list, shown.map(({ key }) => this.items.get(key)));
  }

  drop(key, item) {
    item.remove();
    this.items.delete(key);
  }

  write({ key, label, share, usd, at, out, side }, nowMs) {
    if (!this.items.has(key)) {
      this.items.set(key, element('li', '', element('span'), element('span', 'track', element('i')), element('b'), element('span', 'age')));
    }
    const item = this.items.get(key);
    const [name, track, value, age] = item.children;
    item.classList.toggle('out', out);
    say(name, label);
    set(name, 'title', label);
    track.firstChild.style.width = `${(100 * share).toFixed(1)}%`;
    say(value, format.usd(usd));
    say(age, `${format.roughAge(nowMs - at)}, ${side}`);
    set(age, 'title', side);
  }
}
