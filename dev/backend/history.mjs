// The last three hours of each symbol, out of what came in: one point a 30 s, in memory alone. Pure; no clock.
//
// Of each step the newest reading stays, under the time its batch carries. A reading that is not known leaves a hole,
// and a change without a reading to compare with is null: never zero.

export const STEP_MS = 30_000;
export const SLOTS = 360;
export const SPAN_MS = STEP_MS * SLOTS;
const AHEAD_MS = 60_000; // a stamp further in the future would push out everything that is true
const SYMBOLS_KEPT = 2_000;

/** How far back, and how far the reading compared with may lie from there: the alerter's own measures. */
export const FRAMES = [
  [300_000, 30_000],
  [900_000, 90_000],
  [3_600_000, 120_000],
];

const SPARK_MS = 60_000;
const SPARK_POINTS = 60;
const SPARK_LEVELS = 35;
const SPARK_LEAST = 0.005; // of the value: what moves less is drawn flat, not as a cliff

export class Ring {
  constructor() {
    this.at = new Float64Array(SLOTS).fill(-Infinity); // Unix ms of each point
    this.contracts = new Float64Array(SLOTS);
    this.mark = new Float64Array(SLOTS); // NaN: not known
    this.newest = -Infinity;
  }

  put(at, contracts, mark) {
    const slot = Math.floor(at / STEP_MS) % SLOTS;
    if (at < this.at[slot] || at <= this.newest - SPAN_MS) return;
    this.at[slot] = at;
    this.contracts[slot] = contracts;
    this.mark[slot] = mark ?? NaN;
    this.newest = Math.max(this.newest, at);
  }

  /** [at, contracts, mark or null] from `from` to `to`, oldest first. */
  points(from, to = this.newest) {
    const found = [];
    if (this.newest === -Infinity) return found;
    const first = Math.floor(Math.max(from, this.newest - SPAN_MS + STEP_MS) / STEP_MS);
    for (let step = first; step <= Math.floor(to / STEP_MS); step += 1) {
      const slot = step % SLOTS;
      const at = this.at[slot];
      const here = Math.floor(at / STEP_MS) === step && at >= from && at <= to;
      if (here) found.push([at, this.contracts[slot], Number.isNaN(this.mark[slot]) ? null : this.mark[slot]]);
    }
    return found;
  }

  /** Change of the newest reading against the one a span earlier, as a fraction; null where there is none. */
  change(spanMs, toleranceMs) {
    const target = this.newest - spanMs;
    const near = this.points(target - toleranceMs, target + toleranceMs);
    const [newest] = this.points(this.newest);
    if (near.length === 0 || !newest) return null;
    const distance = ([at]) => Math.abs(at - target);
    const [, before] = near.reduce((best, point) => (distance(point) < distance(best) ? point : best));
    if (!(before > 0)) return null;
    return Number(((newest[1] - before) / before).toFixed(6));
  }

  /** The last hour for a line the size of a word: a letter of base 36 a minute, a dot where nothing is known. */
  spark(nowMs) {
    const first = Math.floor(nowMs / SPARK_MS) - SPARK_POINTS + 1;
    const minutes = new Array(SPARK_POINTS).fill(null);
    const known = this.points(first * SPARK_MS, nowMs);
    for (const [at, contracts] of known) minutes[Math.floor(at / SPARK_MS) - first] = contracts;
    if (known.length < 2) return '';
    const values = known.map(([, contracts]) => contracts);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    const range = Math.max(high - low, Math.abs(high) * SPARK_LEAST) || 1;
    const level = (value) => Math.round(((value - (low + high - range) / 2) / range) * SPARK_LEVELS);
    return minutes.map((value) => (value === null ? '.' : level(value).toString(36))).join('');
  }
}

export class History {
  constructor() {
    this.rings = new Map();
  }

  clear() {
    this.rings.clear();
  }

  take(rows, atMs, nowMs) {
    if (atMs > nowMs + AHEAD_MS) return;
    for (const { symbol, openInterest, markPrice } of rows) {
      if (!Number.isFinite(openInterest)) continue;
      const ring = this.rings.get(symbol) ?? this.added(symbol, nowMs);
      ring?.put(atMs, openInterest, markPrice);
    }
  }

  /** A new ring; none when there are too many that are still in use. */
  added(symbol, nowMs) {
    if (this.rings.size >= SYMBOLS_KEPT) {
      for (const [name, { newest }] of this.rings) if (newest < nowMs - SPAN_MS) this.rings.delete(name);
      if (this.rings.size >= SYMBOLS_KEPT) return null;
    }
    const ring = new Ring();
    this.rings.set(symbol, ring);
    return ring;
  }

  /** One change for each of `FRAMES`. */
  changes(symbol) {
    const ring = this.rings.get(symbol);
    return FRAMES.map(([span, tolerance]) => ring?.change(span, tolerance) ?? null);
  }

  sparks(nowMs) {
    const drawn = [...this.rings].map(([symbol, ring]) => [symbol, ring.spark(nowMs)]);
    return Object.fromEntries(drawn.filter(([, line]) => line !== ''));
  }

  /** The last three hours of one symbol as [at, contracts, mark]. */
  of(symbol, nowMs) {
    return this.rings.get(symbol)?.points(nowMs - SPAN_MS) ?? [];
  }
}
