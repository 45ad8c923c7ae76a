// The heat map: the symbols whose open interest moved most, as tiles, the largest move first.

import { button, element, order, say, set } from './dom.mjs';
import * as format from './format.mjs';
import { movers } from './model.mjs';

const TILES = 18;
const FULL = 0.08; // a move of this size has the full colour
const STRONGEST = 45; // per cent of it: beyond, the writing could no longer be read
const NAMES = { d5: '5 minutes', d15: '15 minutes', d60: 'an hour' };

export class Movers {
  constructor(panel, onSymbol) {
    this.list = panel.querySelector('ol');
    this.none = panel.querySelector('.none');
    this.onSymbol = onSymbol;
    this.key = 'd5';
    this.tiles = new Map();
    this.frames = [...panel.querySelectorAll('.frames button')];
    for (const frame of this.frames) frame.onclick = () => this.choose(frame.dataset.key);
  }

  choose(key) {
    this.key = key;
    for (const frame of this.frames) set(frame, 'aria-pressed', String(frame.dataset.key === key));
    this.update(this.book, this.nowMs);
  }

  update(book, nowMs) {
    Object.assign(this, { book, nowMs });
    const rows = movers(book, this.key, TILES, nowMs);
    const shown = new Set(rows.map(({ symbol }) => symbol));
    for (const [symbol, tile] of this.tiles) {
      if (shown.has(symbol)) continue;
      tile.remove();
      this.tiles.delete(symbol);
    }
    order(this.list, rows.map((row) => this.tile(row)));
    this.list.hidden = rows.length === 0;
    this.none.hidden = rows.length > 0;
    const waits = `Shown once values of ${NAMES[this.key]} ago are there to compare with.`;
    say(this.none, book.current(nowMs) ? waits : 'No current values.');
  }

  tile(row) {
    if (!this.tiles.has(row.symbol)) this.tiles.set(row.symbol, this.made(row.symbol));
    const tile = this.tiles.get(row.symbol);
    const change = row[this.key];
    set(tile, 'class', change > 0 ? 'rise' : 'fall');
    tile.style.setProperty('--heat', `${Math.round(10 + Math.min(1, Math.abs(change) / FULL) * (STRONGEST - 10))}%`);
    say(tile.querySelector('b'), format.percent(change, 2));
    return tile;
  }

  made(symbol) {
    const [base, quote] = format.splitSymbol(symbol);
    const name = element('span', '', base, element('span', 'hidden', quote));
    return element('li', '', button('', () => this.onSymbol(symbol), name, ' ', element('b')));
  }
}
