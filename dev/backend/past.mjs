// The past of open interest, for the page alone: changes over 4 h, 24 h and 7 d, and longer lines for one symbol. Asked of the
// funding API, where there is one; what cannot be had is not shown.
//
// Changes are {at, rows}: Unix ms, and by the backend's symbol one fraction for each of `WINDOWS`, null where there is none.

import { Asked, bodyOf } from './asked.mjs';
import { normalise } from './ingest.mjs';

export const WINDOWS = ['4h', '24h', '7d'];
/** Range -> how far back, and the step that is asked for. */
export const RANGES = { '24h': [86_400_000, '5m'], '7d': [604_800_000, '15m'], all: [400 * 86_400_000, '4h'] };

const EVERY_MS = 15_000;

/** The API's `/changes` as the page takes them; null when it is none. Pure. */
export function readChanges(said, nowMs) {
  if (!Array.isArray(said?.data)) return null;
  const rows = {};
  for (const row of said.data) rows[normalise(row.symbol)] = WINDOWS.map((name) => row[name]?.change ?? null);
  return { at: nowMs, rows };
}

/** The API's `/history` as points [at, contracts, mark, 1 where the exchange told it]; [] when it is none. Pure. */
export function readPoints(said) {
  if (!Array.isArray(said?.rows)) return [];
  return said.rows.map((row) => [row.updatedAt * 1000, row.openInterest, row.markPrice, row.source === 'exchange' ? 1 : 0]);
}

export class Past extends Asked {
  /** `origin`: of the API; '' where there is none. */
  constructor(origin, told) {
    super(origin && `${origin}/changes`, EVERY_MS, (body) => readChanges(JSON.parse(body), Date.now()), told);
    this.origin = origin;
  }

  async points(symbol, range) {
    if (this.origin === '') return [];
    const [span, step] = RANGES[range];
    const from = Math.max(0, Math.floor((Date.now() - span) / 1000));
    try {
      return readPoints(JSON.parse(await bodyOf(`${this.origin}/history/${encodeURIComponent(symbol)}?from=${from}&step=${step}`)));
    } catch {
      return []; // away, or not what it should be
    }
  }
}
