// The drawer: one symbol in full, with its last three hours. Opens over the page, closes on Escape, gives the focus back.

import * as alerts from './alerts.mjs';
import { Chart } from './chart.mjs';
import { element, say, set } from './dom.mjs';
import * as format from './format.mjs';
import { CHANGES, LONG } from './model.mjs';
import { Bars } from './venues.mjs';
import { TAGS, changeClass, changeText } from './table.mjs';

const FACTS = [
  ['Open interest', (row) => format.usd(row.usd)],
  ['Contracts', (row) => format.contracts(row.contracts)],
  ['Mark price', (row) => format.price(row.mark)],
  ['5 min', (row, level) => changeText(row, 'd5', level)],
  ['15 min', (row, level) => changeText(row, 'd15', level)],
  ['1 hour', (row, level) => changeText(row, 'd60', level)],
  ['4 hours', (row, level) => changeText(row, 'd240', level)],
  ['24 hours', (row, level) => changeText(row, 'd1440', level)],
  ['7 days', (row, level) => changeText(row, 'd10080', level)],
  ['Funding', (row) => format.percent(row.funding)],
  ['24 h volume', (row) => format.usd(row.volume)],
  ['Value of', (row, level, nowMs) => (row.at === null ? format.MISSING : `${format.clock(row.at, nowMs)}, ${format.age(nowMs - row.at)} ago`)],
];
const WORDS = {
  missing: 'In the liquid universe, and not served: there is no value to show.',
  ghost: 'No longer in the liquid universe: the backend still serves its last value, and it is not part of the total.',
  stale: 'Newer batches came without this symbol: what is shown is its last value.',
};
const STEP_MS = 30_000;
const RANGES = { '3h': 'Last three hours', '24h': 'Last day', '7d': 'Last week', all: 'All that is kept' };

export class Drawer {
  /** `facts()` tells {book, alerts, nowMs}. */
  constructor(dialog, facts) {
    this.dialog = dialog;
    this.facts = facts;
    this.symbol = null;
    this.range = '3h';
    const find = (name) => dialog.querySelector(name);
    [this.title, this.tag, this.told, this.hint] = [find('h2'), find('.tag'), find('.told'), find('.hint')];
    this.venues = new Bars(find('.venues'));
    this.chart = new Chart(find('.chart'), find('.reading'));
    this.values = FACTS.map(([name]) => {
      const value = element('dd');
      find('.facts').append(element('div', '', element('dt', '', name), value));
      return value;
    });
    this.span = find('.span');
    this.ranges = [...dialog.querySelectorAll('[data-range]')];
    for (const button of this.ranges) button.onclick = () => this.choose(button.dataset.range);
    find('.close').onclick = () => dialog.close();
    const beside = (event) => event.target === dialog && event.clientX < dialog.getBoundingClientRect().left;
    dialog.onclick = (event) => beside(event) && dialog.close();
    dialog.onclose = () => (this.symbol = null);
  }

  async open(symbol) {
    this.symbol = symbol;
    say(this.title, symbol);
    if (!this.dialog.open) this.dialog.showModal();
    this.dialog.scrollTop = 0;
    await this.choose(this.range);
  }

  /** Shows another time of the same symbol. */
  async choose(range) {
    const symbol = this.symbol;
    this.range = range;
    this.points = [];
    this.chart.range(range);
    say(this.span, RANGES[range]);
    for (const button of this.ranges) set(button, 'aria-pressed', String(button.dataset.range === range));
    this.update();
    const answer = await fetch(`history?symbol=${encodeURIComponent(symbol)}&range=${range}`).catch(() => null);
    const points = answer?.ok ? (await answer.json()).points : [];
    if (this.symbol !== symbol || this.range !== range) return; // another one was opened meanwhile
    this.points = points;
    this.update();
  }

  /** Writes what is known now; the newest reading joins the chart. */
  update() {
    if (this.symbol === null) return;
    const { book, alerts: feed, nowMs } = this.facts();
    const row = book.rows.get(this.symbol);
    const mark = row ? book.mark(row) : 'missing';
    if (row) this.join(row);
    this.write(row, mark, nowMs);
    this.venues.show(book.venues?.rows[this.symbol] ?? null, nowMs);
    const own = feed.of(this.symbol);
    this.chart.show(this.points, own, nowMs);
    this.told.replaceChildren(...own.slice(0, 10).map((alert) => alerts.item(alert, nowMs)));
    if (own.length === 0) this.told.append(element('li', 'dim', 'None among the last fifty.'));
  }

  join(row) {
    const last = this.points.at(-1);
    if (!last || row.contracts === null || row.at <= last[0]) return;
    if (this.range !== '3h') return;
    if (Math.floor(last[0] / STEP_MS) === Math.floor(row.at / STEP_MS)) this.points.pop();
    this.points.push([row.at, row.contracts, row.mark]);
    if (this.points.length > 400) this.points.shift();
  }

  write(row, mark, nowMs) {
    const level = format.ageLevel(row?.at ? nowMs - row.at : null);
    set(this.dialog, 'data-level', level);
    say(this.tag, TAGS[mark] ?? '');
    for (const [index, [, writer]] of FACTS.entries()) say(this.values[index], row ? writer(row, level, nowMs) : format.MISSING);
    for (const index of [...CHANGES, ...LONG].keys()) this.values[3 + index].className = changeClass(this.values[3 + index].textContent);
    say(this.hint, WORDS[mark] ?? `Every hop of this number, in a terminal: oi explain ${this.symbol}`);
  }

  tick() {
    if (this.symbol === null) return;
    const { book, nowMs } = this.facts();
    const row = book.rows.get(this.symbol);
    this.write(row, row ? book.mark(row) : 'missing', nowMs);
    this.venues.show(book.venues?.rows[this.symbol] ?? null, nowMs);
    alerts.tick(this.told, nowMs);
  }
}
