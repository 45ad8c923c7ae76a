// The table: rows are made once and then written in place; only text that changed touches the document.

import * as format from './format.mjs';
import { COLUMNS, comparator } from './model.mjs';

const KEYS = Object.keys(COLUMNS);
const TAGS = { missing: 'not served', ghost: 'not liquid' };
const WRITERS = { usd: format.usd, contracts: format.contracts, mark: format.price, funding: format.percent, volume: format.usd };
const FLASH_MS = 900;

const element = (name, className, text = '') => Object.assign(document.createElement(name), { className, textContent: text });

// The rows are laid out as grids, so that those out of sight cost nothing; their meaning has to be said in words then.
const withRole = (node, role) => Object.assign(node, { role });

/** The cells of one symbol, and what they say now. */
class Line {
  constructor(row) {
    this.row = row;
    this.tr = withRole(element('tr', ''), 'row');
    this.tr.dataset.symbol = row.symbol;
    const [base, quote] = format.splitSymbol(row.symbol);
    const name = element('span', 'name', base);
    name.append(element('span', 'quote', quote));
    this.tag = element('span', 'tag');
    const head = withRole(element('th', 'symbol'), 'rowheader');
    head.scope = 'row';
    head.append(element('i', 'dot'), name, this.tag);
    this.cells = {};
    for (const key of KEYS.slice(1)) this.cells[key] = withRole(element('td', key), 'cell');
    this.tr.append(head, ...Object.values(this.cells));
  }

  write(row, mark, nowMs) {
    const before = this.row.usd;
    this.row = row;
    for (const [key, writer] of Object.entries(WRITERS)) this.say(this.cells[key], writer(row[key]));
    this.cells.usd.classList.toggle('wrong', row.usd !== null && row.usd <= 0);
    this.cells.funding.classList.toggle('negative', row.funding < 0);
    this.say(this.tag, TAGS[mark] ?? '');
    this.tick(nowMs);
    return before === null || row.usd === null ? 0 : row.usd - before;
  }

  tick(nowMs) {
    const ms = this.row.at === null ? null : nowMs - this.row.at;
    this.say(this.cells.age, format.age(ms));
    const level = format.ageLevel(ms);
    if (this.tr.dataset.level !== level) this.tr.dataset.level = level;
  }

  say(cell, text) {
    if (cell.textContent !== text) cell.textContent = text;
  }

  flash(change) {
    const colour = getComputedStyle(this.tr).getPropertyValue(change > 0 ? '--up' : '--down');
    this.cells.usd.animate([{ backgroundColor: colour }, { backgroundColor: 'transparent' }], FLASH_MS);
  }
}

export class Table {
  constructor(table, scroller) {
    this.body = table.tBodies[0];
    this.scroller = scroller;
    this.headers = [...table.tHead.rows[0].cells];
    this.lines = new Map();
    this.shown = [];
    this.filter = '';
    this.sort = { key: 'usd', direction: 'descending' };
    this.calm = matchMedia('(prefers-reduced-motion: reduce)');
    for (const th of this.headers) th.querySelector('button').onclick = () => this.sortBy(th.dataset.key);
    this.body.addEventListener('pointerover', (event) => this.tellExactly(event.target));
  }

  update(book, nowMs) {
    const changes = new Map();
    for (const [symbol, line] of this.lines) if (!book.rows.has(symbol)) this.remove(symbol, line);
    for (const row of book.rows.values()) {
      const isNew = !this.lines.has(row.symbol);
      if (isNew) this.lines.set(row.symbol, new Line({ ...row }));
      const line = this.lines.get(row.symbol);
      const change = line.write({ ...row }, book.mark(row), nowMs);
      if (change !== 0 && !isNew) changes.set(line, change);
    }
    this.arrange();
    this.flash(changes);
  }

  remove(symbol, line) {
    line.tr.remove();
    this.lines.delete(symbol);
  }

  /** Ages go on in sight alone; a row that comes into sight is brought up to date by the scrolling. */
  tick(nowMs) {
    for (const line of this.inSight()) line.tick(nowMs);
  }

  inSight() {
    const height = this.shown[0]?.tr.offsetHeight || 1;
    const first = Math.floor(this.scroller.scrollTop / height);
    return this.shown.slice(first, first + Math.ceil(this.scroller.clientHeight / height) + 1);
  }

  sortBy(key) {
    const other = { ascending: 'descending', descending: 'ascending' };
    const direction = this.sort.key === key ? other[this.sort.direction] : COLUMNS[key].first;
    this.sort = { key, direction };
    this.arrange();
    this.scroller.scrollTop = 0;
  }

  filterBy(text) {
    this.filter = text.toUpperCase().replace(/[^\p{L}\p{N}]/gu, '');
    this.arrange();
    this.scroller.scrollTop = 0;
  }

  /** Puts the rows in order, moving only those that stand in the wrong place. */
  arrange() {
    const compare = comparator(this.sort.key, this.sort.direction);
    const ordered = [...this.lines.values()].sort((a, b) => compare(a.row, b.row));
    let next = this.body.firstElementChild;
    for (const line of ordered) {
      if (line.tr === next) next = next.nextElementSibling;
      else this.body.insertBefore(line.tr, next);
      const hidden = !line.row.symbol.includes(this.filter);
      if (line.tr.hidden !== hidden) line.tr.hidden = hidden;
    }
    this.shown = ordered.filter((line) => !line.tr.hidden);
    for (const th of this.headers) {
      th.setAttribute('aria-sort', th.dataset.key === this.sort.key ? this.sort.direction : 'none');
    }
  }

  /** A short tint on values that moved, on the rows in sight alone. */
  flash(changes) {
    if (this.calm.matches || changes.size === 0) return;
    for (const line of this.inSight()) if (changes.has(line)) line.flash(changes.get(line));
  }

  /** The full value under the pointer; kept out of the document until somebody asks. */
  tellExactly(target) {
    const cell = target.closest('td');
    const row = cell && this.lines.get(cell.parentElement.dataset.symbol)?.row;
    if (!row) return;
    const value = cell.classList.contains('age') ? row.at && new Date(row.at).toISOString() : row[cell.classList[0]];
    cell.title = value ?? 'not known';
  }
}
