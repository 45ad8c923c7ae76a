// An ingest body becomes rows, or one refusal. Pure.
//
// It is no stricter than the backend it stands for: zero and negative numbers pass, rows without a usable number are
// left out without a word, unknown fields are ignored. What must not be published has to be stopped by the publisher.
// What it does not foresee costs the whole batch: a body that is no JSON, a row that is no object, a symbol that is no text.

import { Refusal, json, unforeseen } from './wire.mjs';

export const badPayload = (why) => new Refusal(json(400, { error: `Invalid payload: ${why}` }));

/** The backend's own spelling: BTC-USDT, btc_usdt and BTCUSDT are one symbol. */
export const normalise = (symbol) => symbol.replace(/[-_]/g, '').toUpperCase();

export function parseJson(body) {
  let value;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    throw unforeseen();
  }
  if (value === null) throw unforeseen();
  return value;
}

/** Unix ms of an ISO time; `fallback` when there is none, NaN for what is no time: its database refuses such a row. */
export function instant(value, fallback) {
  return value ? new Date(value).getTime() : fallback;
}

const number = (value) => (typeof value === 'number' ? value : null);

function parseRow(item) {
  if (item === null) throw unforeseen();
  if (!item.symbol) return null;
  const usd = number(item.openInterestUsd);
  const mark = number(item.markPrice);
  const contracts = number(item.openInterest) ?? (usd !== null && mark > 0 ? usd / mark : null);
  if (contracts === null) return null;
  if (typeof item.symbol !== 'string') throw unforeseen();
  return {
    symbol: normalise(item.symbol),
    openInterest: contracts,
    openInterestUsd: usd ?? (mark === null ? null : contracts * mark),
    markPrice: mark,
    fundingRate: number(item.fundingRate),
  };
}

export function parseBatch(payload, nowMs) {
  if (!Array.isArray(payload.data)) throw badPayload('data array required');
  const rows = payload.data.map(parseRow).filter((row) => row !== null);
  if (rows.length === 0) throw new Refusal(json(400, { error: 'No valid data items' }));
  return {
    rows,
    skipped: payload.data.length - rows.length,
    timestampMs: instant(payload.timestamp, nowMs),
    totalSymbols: payload.totalSymbols ?? null,
    source: payload.source ?? 'snapshot',
  };
}

/** Writes into the log entry what a body claims to be, as far as it can be told. */
export function describe(entry, body) {
  let payload;
  try {
    payload = parseJson(body);
  } catch {
    return;
  }
  entry.timestamp = payload.timestamp ?? null;
  entry.totalSymbols = payload.totalSymbols ?? null;
  entry.rows = Array.isArray(payload.data) ? payload.data.length : null;
}
