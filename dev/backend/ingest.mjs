// An ingest body becomes rows, or one refusal. Pure.
//
// It is no stricter than the backend it stands for: zero and negative numbers pass, rows without a usable number are
// left out without a word, unknown fields are ignored. What must not be published has to be stopped by the publisher.

import { Refusal, json } from './wire.mjs';

export const badPayload = (why) => new Refusal(json(400, { error: `Invalid payload: ${why}` }));

/** The backend's own spelling: BTC-USDT, btc_usdt and BTCUSDT are one symbol. */
export const normalise = (symbol) => symbol.replace(/[-_]/g, '').toUpperCase();

export function parseJson(body) {
  let value;
  try {
    value = JSON.parse(body.toString('utf8'));
  } catch {
    throw badPayload('body is not JSON');
  }
  if (value === null || typeof value !== 'object') throw badPayload('an object is required');
  return value;
}

/** Unix ms of an ISO time; `fallback` when there is none. */
export function instant(value, fallback) {
  if (value === undefined || value === null || value === '') return fallback;
  const ms = new Date(value).getTime();
  if (Number.isNaN(ms)) throw badPayload('timestamp is no time');
  return ms;
}

const number = (value) => (typeof value === 'number' ? value : null);

function parseRow(item) {
  if (!item || typeof item.symbol !== 'string' || item.symbol === '') return null;
  const usd = number(item.openInterestUsd);
  const mark = number(item.markPrice);
  const contracts = number(item.openInterest) ?? (usd !== null && mark > 0 ? usd / mark : null);
  if (contracts === null) return null;
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
