// Server-sent events for the page: a snapshot when it connects, then only what changed.
//
// Rows are arrays [symbol, openInterestUsd, openInterest, markPrice, fundingRate, at, change in 5 min, in 15 min, in 1 h]:
// 900 of them every few seconds would be mostly field names otherwise. `null` is a value that is not known.

import { normalise } from './ingest.mjs';

const TICK_MS = 2_000;
const SPARKS_MS = 30_000;
const ALERTS_SHOWN = 50;
// A reader that has stopped reading is cut off and gets a fresh snapshot when it comes back.
const UNREAD_BYTES = 8 * 1024 * 1024;

export class Events {
  constructor(app) {
    this.app = app;
    this.clients = new Set();
    this.sparksSentMs = 0;
    // Tells the page that the line is alive even while no batch comes, and how the services are.
    this.ticker = setInterval(() => this.send('tick', { hops: app.pipeline.view() }), TICK_MS);
  }

  connect(res) {
    res.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
    res.write('retry: 1000\n\n');
    this.clients.add(res);
    res.on('close', () => this.clients.delete(res));
    this.write(res, frame('snapshot', this.view()));
  }

  view() {
    const { store, pipeline } = this.app;
    const factors = this.app.faults.factors();
    return {
      batchMs: store.batchMs,
      rows: [...store.cache].map(([symbol, row]) => this.encode(symbol, row, factors)),
      sparks: store.history.sparks(Date.now()),
      hops: pipeline.view(),
      universe: this.universeView(),
      alerts: store.recentAlerts({ limit: ALERTS_SHOWN }),
      venues: this.app.venues.view(),
      past: this.app.past.view(),
    };
  }

  universeView() {
    const { universe, universeUpdatedAt } = this.app.store;
    // The universe keeps the sender's spelling, the cache does not: here the two have to meet.
    const symbols = [...universe.values()].map((entry) => [normalise(entry.symbol), entry.quoteVolume24h]);
    return { updatedAt: universeUpdatedAt, symbols: symbols };
  }

  snapshot() {
    this.send('snapshot', this.view());
  }

  batch({ rows, timestampMs }) {
    if (this.clients.size === 0) return;
    const { cache } = this.app.store;
    const factors = this.app.faults.factors();
    const symbols = [...new Set(rows.map((row) => row.symbol))].filter((symbol) => cache.has(symbol));
    this.send('batch', {
      batchMs: timestampMs,
      replaces: this.app.settings.cacheMode === 'replace',
      rows: symbols.map((symbol) => this.encode(symbol, cache.get(symbol), factors)),
    });
    this.sparks();
  }

  /** The lines of the last hour; they move by the minute, so they travel less often than the values. */
  sparks() {
    const nowMs = Date.now();
    if (nowMs - this.sparksSentMs < SPARKS_MS) return;
    const sparks = this.app.store.history.sparks(nowMs);
    if (Object.keys(sparks).length === 0) return;
    this.sparksSentMs = nowMs;
    this.send('sparks', { sparks });
  }

  encode(symbol, row, factors) {
    const usd = row.openInterestUsd * (factors.get(symbol) ?? 1);
    return [symbol, usd, row.openInterest, row.markPrice, row.fundingRate, row.at, ...this.app.store.history.changes(symbol)];
  }

  universe() {
    this.send('universe', this.universeView());
  }

  venues(view) {
    this.send('venues', { venues: view });
  }

  past(view) {
    this.send('past', { past: view });
  }

  alert(alert) {
    this.send('alert', alert);
  }

  send(event, data) {
    if (this.clients.size === 0) return;
    const text = frame(event, data);
    for (const res of this.clients) this.write(res, text);
  }

  write(res, text) {
    if (res.writableLength > UNREAD_BYTES) res.destroy();
    else res.write(text);
  }

  close() {
    clearInterval(this.ticker);
    for (const res of this.clients) res.end();
  }
}

/** `now` travels with every event, so that ages do not depend on the reader's clock. */
function frame(event, data) {
  return `event: ${event}\ndata: ${JSON.stringify({ now: Date.now(), ...data })}\n\n`;
}
