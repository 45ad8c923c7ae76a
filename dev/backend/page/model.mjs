// What the page knows: one row a symbol, and what can honestly be said about all of them. No DOM.

import { MISSING, ageLevel, clock } from './format.mjs';
import { trouble } from './pipeline.mjs';

export const OLD_MS = 30_000;
const LEAST_MOVE = 0.0001; // what rounds to nothing is no move

/** The order of the columns, and which way each is first sorted. */
export const COLUMNS = {
  symbol: { first: 'ascending' },
  usd: { first: 'descending' },
  all: { first: 'descending' },
  d5: { first: 'descending' },
  d15: { first: 'descending' },
  d60: { first: 'descending' },
  d240: { first: 'descending' },
  d1440: { first: 'descending' },
  d10080: { first: 'descending' },
  contracts: { first: 'descending' },
  mark: { first: 'descending' },
  funding: { first: 'descending' },
  volume: { first: 'descending' },
  age: { first: 'ascending' },
};

/** Changes of open interest in contracts, as fractions: over 5 min, 15 min, 1 h. */
export const CHANGES = ['d5', 'd15', 'd60'];
/** The same over 4 h, 24 h and 7 d, out of what is kept of the past. */
export const LONG = ['d240', 'd1440', 'd10080'];
const PAST_OLD_MS = 120_000;

const EMPTY = { usd: null, contracts: null, mark: null, funding: null, at: null, d5: null, d15: null, d60: null, served: false };

export class Book {
  constructor() {
    this.rows = new Map(); // symbol -> row; served, or in the liquid universe, or both
    this.universeKnown = false;
    this.batchMs = null;
    this.past = null; // changes over longer times, by symbol; null: nobody keeps them, or they are too old
    this.venues = null; // what other venues have, by symbol; null: none is read, or it is too old
  }

  row(symbol) {
    if (!this.rows.has(symbol)) {
      this.rows.set(symbol, { symbol, ...EMPTY, spark: '', volume: null, liquid: false, all: this.venues?.rows[symbol]?.usd ?? null, ...this.longChanges(symbol) });
    }
    return this.rows.get(symbol);
  }

  longChanges(symbol) {
    const told = this.past?.rows[symbol];
    return Object.fromEntries(LONG.map((key, index) => [key, told?.[index] ?? null]));
  }

  /** Changes over 4 h, 24 h and 7 d; null: there are none to show. */
  overLong(view) {
    this.past = view;
    for (const row of this.rows.values()) Object.assign(row, this.longChanges(row.symbol));
  }

  /** Drops what was told too long ago to be a change of now; true when there was something. */
  expirePast(nowMs) {
    if (this.past === null || nowMs - this.past.at < PAST_OLD_MS) return false;
    this.overLong(null);
    return true;
  }

  snapshot({ rows, universe, batchMs, sparks = {}, venues = null, past = null }) {
    this.rows.clear();
    this.past = past;
    this.venues = venues;
    this.universe(universe);
    this.batch({ rows, batchMs, replaces: true });
    this.sparks(sparks);
  }

  /** Open interest over all venues; null: there is none to show. */
  overVenues(view) {
    this.venues = view;
    for (const row of this.rows.values()) row.all = view?.rows[row.symbol]?.usd ?? null;
  }

  /** Drops what is too old to be shown as if it were now; true when there was something. */
  expireVenues(nowMs) {
    if (this.venues === null || nowMs - this.venues.at < OLD_MS) return false;
    this.overVenues(null);
    return true;
  }

  /** Symbol -> its last hour, a letter a minute. */
  sparks(lines) {
    for (const row of this.rows.values()) row.spark = lines[row.symbol] ?? '';
  }

  batch({ rows, batchMs, replaces }) {
    if (replaces) for (const row of this.rows.values()) Object.assign(row, EMPTY);
    for (const [symbol, usd, contracts, mark, funding, at, d5, d15, d60] of rows) {
      Object.assign(this.row(symbol), { usd, contracts, mark, funding, at, d5, d15, d60, served: true });
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

  /** "missing": liquid but not served; "ghost": served though it left the liquid universe; "stale": newer batches came without it. */
  mark(row) {
    if (!row.served) return 'missing';
    if (this.universeKnown && !row.liquid) return 'ghost';
    return this.batchMs - row.at >= OLD_MS ? 'stale' : '';
  }

  /** Ghosts are not part of the total; a total of nothing is unknown. */
  summary(nowMs) {
    const counts = { served: 0, liquid: 0, missing: 0, ghost: 0, stale: 0, old: 0, total: null };
    for (const row of this.rows.values()) {
      const mark = this.mark(row);
      if (row.served) counts.served += 1;
      if (row.liquid) counts.liquid += 1;
      if (mark) counts[mark] += 1;
      if (mark === 'missing' || mark === 'ghost') continue;
      if (nowMs - row.at >= OLD_MS) counts.old += 1;
      if (Number.isFinite(row.usd)) counts.total = (counts.total ?? 0) + row.usd;
    }
    return counts;
  }

  /** Is there any value young enough to speak of now? */
  current(nowMs) {
    return this.batchMs !== null && nowMs - this.batchMs < OLD_MS;
  }

  /** Rows that count for the total and whose change by this key is known and current. */
  changed(key, nowMs) {
    const fresh = (row) => this.mark(row) === '' && nowMs - row.at < OLD_MS;
    return [...this.rows.values()].filter((row) => fresh(row) && Number.isFinite(row[key]) && row.usd > 0);
  }

  /** Change of the total had prices stood still; null where it is known for less than nine tenths of the total. */
  totalChange(key, nowMs, total) {
    const rows = this.changed(key, nowMs);
    const now = rows.reduce((sum, { usd }) => sum + usd, 0);
    const before = rows.reduce((sum, row) => sum + row.usd / (1 + row[key]), 0);
    return before > 0 && now >= 0.9 * total ? now / before - 1 : null;
  }
}

/** The rows that moved most by this key, whichever way, the largest move first. */
export function movers(book, key, count, nowMs) {
  const size = (row) => Math.abs(row[key]);
  const moved = book.changed(key, nowMs).filter((row) => size(row) >= LEAST_MOVE);
  return moved.sort((a, b) => size(b) - size(a)).slice(0, count);
}

const symbols = (count) => (count === 1 ? '1 symbol' : `${count} symbols`);

/** One line on whether the page can be trusted, and how loud to say it: good, warn, bad or none. */
export function verdict(book, counts, { connected, nowMs, hops = [] }) {
  const since = clock(book.batchMs, nowMs);
  if (!connected) return ['bad', since === MISSING ? 'Connection lost' : `Connection lost, values of ${since}`];
  if (book.batchMs === null || counts.served === 0) return ['none', 'Waiting for the first batch'];
  if (ageLevel(nowMs - book.batchMs) === 'bad') return ['bad', `No data since ${since}`];
  if (counts.missing > 0) return ['bad', `${counts.missing} of ${counts.liquid} not served`];
  if (counts.old > 0) return ['warn', `${symbols(counts.old)} older than 30 s`];
  if (counts.ghost > 0) return ['warn', `${symbols(counts.ghost)} no longer liquid`];
  const hop = trouble(hops, nowMs);
  return hop ? ['warn', hop] : ['good', 'Live'];
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
