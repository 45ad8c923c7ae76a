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
    this.universeUpdatedAt = null;
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
  served(factors = new Map(), asOf = this.asOf()) {
    const data = Object.fromEntries(
      [...this.cache].map(([symbol, row]) => [symbol, row.openInterestUsd * (factors.get(symbol) ?? 1)]),
    );
    const age = asOf === null ? Infinity : Date.now() - asOf;
    return { data, stale: age > STALE_MS, asOf, dangerouslyStale: age > DANGEROUS_MS };
  }

  /** Symbols that are not listed are removed; a symbol that stays keeps the time it entered. */
  updateUniverse(symbols, updatedAt) {
    const next = new Map();
    for (const entry of symbols) {
      next.set(entry.symbol, { ...entry, enteredAt: this.universe.get(entry.symbol)?.enteredAt ?? entry.enteredAt });
    }
    const removed = [...this.universe.keys()].filter((symbol) => !next.has(symbol)).length;
    this.universe = next;
    this.universeUpdatedAt = updatedAt;
    return { success: true, upserted: next.size, removed, totalSymbols: next.size };
  }

  universeView() {
    // What the backend tells its users: 2,000 requests a minute shared out, between 5 and 20 seconds.
    const interval = Math.min(20, Math.max(5, Math.ceil((60 * this.universe.size) / 2000)));
    return {
      updatedAt: this.universeUpdatedAt,
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
