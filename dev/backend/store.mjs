// What the backend knows and serves: the open-interest cache, the liquid universe, the alerts. Instants in Unix ms.

import { randomUUID } from 'node:crypto';

import { History } from './history.mjs';

const STALE_MS = 5 * 60_000;
const DANGEROUS_MS = STALE_MS + 90_000;
const ALERTS_KEPT = 500;

export class Store {
  constructor(settings) {
    this.settings = settings;
    this.history = new History();
    this.clear();
  }

  clear() {
    this.dropCache();
    this.universe = new Map(); // symbol -> {symbol, quoteVolume24h, enteredAt, lastSeenAt}
    this.alerts = []; // newest last
  }

  /** What a restart of the backend does: the cache lives in its memory, everything else in the database. */
  dropCache() {
    this.cache = new Map(); // symbol -> {openInterestUsd, openInterest, markPrice, fundingRate, at}
    this.history.clear();
    this.batchMs = null;
    this.arrivalMs = null;
  }

  /** Updates the cache whatever the batch's timestamp says: a late batch overwrites a newer one. */
  cacheRows(rows, timestampMs) {
    if (this.settings.cacheMode === 'replace') this.cache = new Map();
    for (const { symbol, ...values } of rows) {
      if (values.openInterestUsd !== null) this.cache.set(symbol, { ...values, at: timestampMs });
    }
    this.batchMs = timestampMs;
    this.arrivalMs = Date.now();
    this.history.take(rows, timestampMs, this.arrivalMs);
    return this.cache.size;
  }

  /** How many symbols the cache would hold after these rows: what a backend that loses them claims. */
  sizeWith(rows) {
    const symbols = new Set(this.settings.cacheMode === 'replace' ? [] : this.cache.keys());
    for (const row of rows) symbols.add(row.symbol);
    return symbols.size;
  }

  asOf() {
    return this.settings.asOf === 'batch' ? this.batchMs : this.arrivalMs;
  }

  /** Body of GET open-interest; `factors` falsifies values, `asOf` the time, when a fault asks for it. */
  served(factors = new Map()) {
    const asOf = this.asOf();
    const shown = this.settings.valuesAs === 'text' ? String : (value) => value;
    const data = Object.fromEntries(
      [...this.cache].map(([symbol, row]) => [symbol, shown(row.openInterestUsd * (factors.get(symbol) ?? 1))]),
    );
    const age = asOf === null ? Infinity : Date.now() - asOf;
    return { data, stale: age > STALE_MS, asOf, dangerouslyStale: age > DANGEROUS_MS };
  }

  /** One row of the universe's table; a symbol that stays keeps the time it entered. */
  upsertUniverse(entry) {
    this.universe.set(entry.symbol, { ...entry, enteredAt: this.universe.get(entry.symbol)?.enteredAt ?? entry.enteredAt });
  }

  /** Deletes whoever is not listed, with the time it had entered; returns how many. */
  keepUniverse(listed) {
    const gone = [...this.universe.keys()].filter((symbol) => !listed.has(symbol));
    for (const symbol of gone) this.universe.delete(symbol);
    return gone.length;
  }

  /** Another program's update of the universe. */
  writeUniverse(symbols) {
    const now = new Date().toISOString();
    for (const symbol of symbols) this.upsertUniverse({ symbol, quoteVolume24h: 1e7, enteredAt: now, lastSeenAt: now });
    this.keepUniverse(new Set(symbols));
  }

  universeView() {
    // What the backend tells its users: 2,000 requests a minute shared out, between 5 and 20 seconds.
    const interval = Math.min(20, Math.max(5, Math.ceil((60 * this.universe.size) / 2000)));
    const seen = [...this.universe.values()].map(({ lastSeenAt }) => Date.parse(lastSeenAt));
    return {
      updatedAt: new Date(seen.length ? Math.max(...seen) : Date.now()).toISOString(),
      enterThreshold: 4_000_000,
      exitThreshold: 2_000_000,
      symbols: [...this.universe.values()]
        .map((entry) => ({ ...entry, estimatedPollIntervalSec: interval }))
        .sort((a, b) => b.quoteVolume24h - a.quoteVolume24h),
      totalSymbols: this.universe.size,
    };
  }

  addAlert(alert) {
    const stored = { id: randomUUID(), ...alert };
    this.alerts.push(stored);
    if (this.alerts.length > ALERTS_KEPT) this.alerts.shift();
    return stored;
  }

  /** Newest first. */
  recentAlerts({ symbol, direction, limit }) {
    return this.alerts
      .filter((alert) => (!symbol || alert.symbol === symbol) && (!direction || alert.direction === direction))
      .reverse()
      .slice(0, limit);
  }
}

/** An alert as it stands in the database: decimals are text, the time is `ts`; old tables lack three columns. */
export function databaseRow({ timestamp, timeframe, priceChange, fundingRate, ...alert }, schema) {
  const decimals = ['baseline', 'current', 'pctChange', 'absChange'].map((name) => [name, String(alert[name])]);
  const text = (value) => (typeof value === 'number' ? String(value) : null);
  const at = new Date(timestamp).toISOString();
  const row = { ...alert, ...Object.fromEntries(decimals), ts: at, createdAt: at };
  if (schema === 'old') return row;
  return { ...row, timeframe: timeframe ?? '5 min', priceChange: text(priceChange), fundingRate: text(fundingRate) };
}
