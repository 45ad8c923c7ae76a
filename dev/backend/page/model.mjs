// What the page knows: one row a symbol, and what can honestly be said about all of them. No DOM.

import { MISSING, ageLevel, clock } from './format.mjs';

export const OLD_MS = 30_000;

/** The order of the columns, and which way each is first sorted. */
export const COLUMNS = {
  symbol: { first: 'ascending' },
  usd: { first: 'descending' },
  contracts: { first: 'descending' },
  mark: { first: 'descending' },
  funding: { first: 'descending' },
  volume: { first: 'descending' },
  age: { first: 'ascending' },
};

const EMPTY = { usd: null, contracts: null, mark: null, funding: null, at: null, served: false };

export class Book {
  constructor() {
    this.rows = new Map(); // symbol -> row; served, or in the liquid universe, or both
    this.universeKnown = false;
    this.batchMs = null;
  }

  row(symbol) {
    if (!this.rows.has(symbol)) this.rows.set(symbol, { symbol, ...EMPTY, volume: null, liquid: false });
    return this.rows.get(symbol);
  }

  snapshot({ rows, universe, batchMs }) {
    this.rows.clear();
    this.universe(universe);
    this.batch({ rows, batchMs, replaces: true });
  }

  batch({ rows, batchMs, replaces }) {
    if (replaces) for (const row of this.rows.values()) Object.assign(row, EMPTY);
    for (const [symbol, usd, contracts, mark, funding, at] of rows) {
      Object.assign(this.row(symbol), { usd, contracts, mark, funding, at, served: true });
    }
    this.batchMs = batchMs;
    this.prune();
  }

  universe({ updatedAt, symbols }) {
    this.universeKnown = updatedAt !== null && symbols.length > 0;
    for (const row of this.rows.values()) Object.assign(row, { volume: null, liquid: false });
    for (const [symbol, volume] of symbols) Object.assign(this.row(symbol), { volume, liquid: true });
    this.prune();
  }

  prune() {
    for (const row of this.rows.values()) if (!row.served && !row.liquid) this.rows.delete(row.symbol);
  }

  /** "missing": liquid but not served; "ghost": served though it left the liquid universe. */
  mark(row) {
    if (!row.served) return 'missing';
    return this.universeKnown && !row.liquid ? 'ghost' : '';
  }

  /** Ghosts are not part of the total; a total of nothing is unknown. */
  summary(nowMs) {
    const counts = { served: 0, liquid: 0, missing: 0, ghost: 0, old: 0, total: null };
    for (const row of this.rows.values()) {
      const mark = this.mark(row);
      if (row.served) counts.served += 1;
      if (row.liquid) counts.liquid += 1;
      if (mark) counts[mark] += 1;
      if (mark === '' && nowMs - row.at >= OLD_MS) counts.old += 1;
      if (mark === '' && Number.isFinite(row.usd)) counts.total = (counts.total ?? 0) + row.usd;
    }
    return counts;
  }
}

const symbols = (count) => (count === 1 ? '1 symbol' : `${count} symbols`);

/** One line on whether the page can be trusted, and how loud to say it: good, warn, bad or none. */
export function verdict(book, counts, { connected, nowMs }) {
  const since = clock(book.batchMs, nowMs);
  if (!connected) return ['bad', since === MISSING ? 'Connection lost' : `Connection lost, values of ${since}`];
  if (book.batchMs === null || counts.served === 0) return ['none', 'Waiting for the first batch'];
  if (ageLevel(nowMs - book.batchMs) === 'bad') return ['bad', `No data since ${since}`];
  if (counts.missing > 0) return ['bad', `${counts.missing} of ${counts.liquid} not served`];
  if (counts.old > 0) return ['warn', `${symbols(counts.old)} older than 30 s`];
  if (counts.ghost > 0) return ['warn', `${symbols(counts.ghost)} no longer liquid`];
  return ['good', 'Live'];
}

const collator = new Intl.Collator('en', { numeric: true });

/** Compares two rows by a column. A missing value comes last whichever way the column is sorted. */
export function comparator(key, direction) {
  const sign = direction === 'ascending' ? 1 : -1;
  const bySymbol = (a, b) => collator.compare(a.symbol, b.symbol);
  if (key === 'symbol') return (a, b) => sign * bySymbol(a, b);
  const value = key === 'age' ? (row) => (row.at === null ? null : -row.at) : (row) => row[key];
  return (a, b) => {
    const [x, y] = [value(a), value(b)];
    if (x === null || y === null) return (x === null) - (y === null) || bySymbol(a, b);
    return sign * (x - y) || bySymbol(a, b);
  };
}
