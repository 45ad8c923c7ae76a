// The table: rows are made once and then written in place; only text that changed touches the document.

import { button, element, order, say, set, svg } from './dom.mjs';
import * as format from './format.mjs';
import { sparkPath, sparkTrend } from './lines.mjs';
import { CHANGES, COLUMNS, LONG, comparator } from './model.mjs';

export const TAGS = { missing: 'not served', ghost: 'not liquid', stale: 'stale' };
const WRITERS = { usd: format.usd, all: format.usd, contracts: format.contracts, mark: format.price, funding: format.percent, volume: format.usd };
const [SPARK_WIDTH, SPARK_HEIGHT] = [64, 20];
const FLASH_MS = 900;

// The rows are laid out as grids, so that those out of sight cost nothing; their meaning has to be said in words then.
const withRole = (node, role) => Object.assign(node, { role });

/** A change that is known and not too old to be one; else a dash. */
export const changeText = (row, key, level) => format.percent(level === 'bad' || level === 'none' ? null : row[key], 2);
export const changeClass = (text) => ({ '+': 'up', '−': 'down' })[text[0]] ?? 'flat';

/** The cells of one symbol, and what they say now. */
class Line {
  constructor(row, onSymbol) {
    this.row = row;
    this.tr = withRole(element('tr'), 'row');
    this.tr.dataset.symbol = row.symbol;
    const [base, quote] = format.splitSymbol(row.symbol);
    this.name = button('name', () => onSymbol(row.symbol), base, element('span', 'quote', quote));
    this.name.tabIndex = -1;
    this.tag = element('span', 'tag');
    const head = withRole(element('th', 'symbol', element('i', 'dot'), this.name, this.tag), 'rowheader');
    head.scope = 'row';
    this.cells = {};
    for (const key of ['usd', 'all', 'spark', ...Object.keys(COLUMNS).slice(3)]) this.cells[key] = withRole(element('td', key), 'cell');
    this.path = svg('path');
    this.cells.spark.append(svg('svg', { viewBox: `0 0 ${SPARK_WIDTH} ${SPARK_HEIGHT}`, 'aria-hidden': 'true' }, this.path));
    this.tr.append(head, ...Object.values(this.cells));
  }

  write(row, mark, nowMs) {
    const before = this.row.usd;
    this.row = row;
    for (const [key, writer] of Object.entries(WRITERS)) say(this.cells[key], writer(row[key]));
    this.cells.usd.classList.toggle('wrong', row.usd !== null && row.usd <= 0);
    this.cells.funding.classList.toggle('negative', row.funding < 0);
    say(this.tag, TAGS[mark] ?? '');
    this.writeSpark(row.spark);
    this.tick(nowMs);
    this.writeChanges();
    return before === null || row.usd === null ? 0 : row.usd - before;
  }

  writeSpark(spark) {
    if (this.spark === spark) return;
    this.spark = spark;
    this.path.setAttribute('d', sparkPath(spark, SPARK_WIDTH, SPARK_HEIGHT));
    this.path.setAttribute('class', ['flat', 'up', 'down'].at(sparkTrend(spark)));
  }

  writeChanges() {
    for (const key of [...CHANGES, ...LONG]) {
      const text = changeText(this.row, key, this.tr.dataset.level);
      say(this.cells[key], text);
      const name = `${key} ${changeClass(text)}`;
      if (this.cells[key].className !== name) this.cells[key].className = name;
    }
  }

  tick(nowMs) {
    const ms = this.row.at === null ? null : nowMs - this.row.at;
    say(this.cells.age, format.age(ms));
    const level = format.ageLevel(ms);
    if (this.tr.dataset.level === level) return;
    this.tr.dataset.level = level;
    this.writeChanges();
  }

  flash(change) {
    const colour = change > 0 ? 'var(--rise)' : 'var(--fall)';
    this.cells.usd.animate([{ backgroundColor: colour }, { backgroundColor: 'transparent' }], FLASH_MS);
  }
}

export class Table {
  /** `tellMembers(symbol)`: the contracts of the sum over venues, as text. */
  constructor(table, scroller, onSymbol, tellMembers) {
    this.body = table.tBodies[0];
    this.scroller = scroller;
    this.onSymbol = onSymbol;
    this.tellMembers = tellMembers;
    this.headers = [...table.tHead.rows[0].cells].filter((th) => th.dataset.key in COLUMNS);
    this.lines = new Map();
    this.shown = [];
    this.filter = '';
    this.sort = { key: 'usd', direction: 'descending' };
    this.calm = matchMedia('(prefers-reduced-motion: reduce)');
    for (const th of this.headers) th.querySelector('button').onclick = () => this.sortBy(th.dataset.key);
    this.body.addEventListener('pointerover', (event) => this.tellExactly(event.target));
    this.body.addEventListener('keydown', (event) => this.walk(event));
    this.body.addEventListener('focusin', ({ target }) => this.enter(this.lineOf(target)));
    this.body.addEventListener('click', ({ target }) => target.closest('button') ?? this.press(this.lineOf(target)));
  }

  lineOf(node) {
    return this.lines.get(node.closest('tr')?.dataset.symbol);
  }

  /** A click anywhere in a row is one on its name. */
  press(line) {
    line?.name.focus({ preventScroll: true });
    line?.name.click();
  }

  update(book, nowMs) {
    const changes = new Map();
    for (const [symbol, line] of this.lines) if (!book.rows.has(symbol)) this.remove(symbol, line);
    for (const row of book.rows.values()) {
      const isNew = !this.lines.has(row.symbol);
      if (isNew) this.lines.set(row.symbol, new Line({ ...row }, this.onSymbol));
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
    const focused = this.body.contains(document.activeElement) ? document.activeElement : null;
    order(this.body, ordered.map(({ tr }) => tr));
    for (const line of ordered) {
      const hidden = !line.row.symbol.includes(this.filter);
      if (line.tr.hidden !== hidden) line.tr.hidden = hidden;
    }
    if (focused && document.activeElement !== focused) focused.focus({ preventScroll: true }); // its row was moved
    this.shown = ordered.filter((line) => !line.tr.hidden);
    if (!this.shown.includes(this.entered)) this.enter(this.shown[0]);
    for (const th of this.headers) set(th, 'aria-sort', th.dataset.key === this.sort.key ? this.sort.direction : 'none');
  }

  /** One row alone is a stop of the Tab key; the arrows go on from there. */
  enter(line) {
    if (this.entered) this.entered.name.tabIndex = -1;
    this.entered = line;
    if (line) line.name.tabIndex = 0;
  }

  walk(event) {
    const page = Math.max(1, this.inSight().length - 3);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const here = this.shown.indexOf(this.lineOf(event.target));
    const there = Math.min(this.shown.length - 1, Math.max(0, here + steps[event.key]));
    this.shown[there]?.name.focus();
  }

  /** A short tint on values that moved, on the rows in sight alone. */
  flash(changes) {
    if (this.calm.matches || changes.size === 0) return;
    for (const line of this.inSight()) if (changes.has(line)) line.flash(changes.get(line));
  }

  /** The full value under the pointer; kept out of the document until somebody asks. */
  tellExactly(target) {
    const cell = target.closest('td');
    const row = cell && this.lineOf(cell)?.row;
    if (!row || cell.classList.contains('spark')) return;
    if (cell.classList.contains('all')) return void (cell.title = this.tellMembers(row.symbol));
    const value = cell.classList.contains('age') ? row.at && new Date(row.at).toISOString() : row[cell.classList[0]];
    cell.title = value ?? 'not known';
  }
}
