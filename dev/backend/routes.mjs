// The backend's own routes: request in, reply out. Faults and the wire are no concern of theirs.

import { setTimeout as sleep } from 'node:timers/promises';

import { badPayload, describe, instant, normalise, parseBatch, parseJson } from './ingest.mjs';
import { databaseRow } from './store.mjs';
import { Refusal, json, unforeseen } from './wire.mjs';

const OPEN_INTEREST = '/api/market/open-interest';
const ALERTS = '/api/open-interest-alerts';

export const ROUTES = [
  { method: 'POST', path: `${OPEN_INTEREST}/ingest`, name: 'ingest', handle: ingest, key: true },
  { method: 'GET', path: OPEN_INTEREST, name: 'read', handle: read, cached: true },
  { method: 'POST', path: `${OPEN_INTEREST}/liquid-universe/update`, name: 'universe', handle: updateUniverse, key: true },
  { method: 'GET', path: `${OPEN_INTEREST}/liquid-universe`, name: 'universe', handle: readUniverse, cached: true },
  { method: 'POST', path: `${ALERTS}/ingest`, name: 'alerts', handle: addAlert, key: true },
  { method: 'GET', path: ALERTS, name: 'alerts', handle: readAlerts },
];

export function requireKey(req, apiKey) {
  if (apiKey !== '' && req.headers['x-api-key'] !== apiKey) throw new Refusal(json(401, { error: 'Unauthorized' }));
}

async function ingest({ app, body, entry, faults }) {
  describe(entry, body);
  const batch = parseBatch(parseJson(body), Date.now());
  entry.skipped = batch.skipped;
  if (faults.of('lost')) return accepted(app, batch.rows.length, app.store.sizeWith(batch.rows), []);
  const errors = await insert(app, batch, entry);
  entry.cached = app.store.cacheRows(batch.rows, batch.timestampMs);
  app.events.batch(batch);
  const second = faults.of('second-writer');
  const reply = accepted(app, entry.stored, entry.cached, errors);
  if (second) app.writeForeign(second.values);
  return reply;
}

function accepted(app, inserted, cached, errors) {
  const answer = { success: errors.length === 0, inserted };
  if (app.settings.reportCached) answer.cached = cached;
  if (errors.length > 0) answer.errors = errors;
  return json(200, answer);
}

/** Rows go into the database one after another; a slow one makes the POST last seconds. */
async function insert(app, { rows, timestampMs }, entry) {
  const errors = [];
  const start = performance.now();
  const { signal } = app.underway;
  for (const [index, row] of rows.entries()) {
    const early = start + (index + 1) * app.settings.rowDelayMs - performance.now();
    if (early > 0) await sleep(early, undefined, { signal });
    if (app.settings.databaseDown || Number.isNaN(timestampMs)) errors.push(`Failed to insert ${row.symbol}: the database refused the row`);
    else app.log.addRow(entry, row, timestampMs);
  }
  app.log.trim();
  return errors;
}

function read({ app, faults }) {
  return json(200, app.store.served(app.faults.factors(faults.all)));
}

/** Two queries a symbol, one after another, each seen at once; then whoever is not listed is deleted. */
async function updateUniverse({ app, body, faults }) {
  const payload = parseJson(body);
  const listed = payload.symbols || [];
  if (!Array.isArray(listed)) throw unforeseen();
  const now = new Date().toISOString();
  const symbols = listed.map((entry) => {
    if (typeof entry?.symbol !== 'string') throw unforeseen();
    return {
      symbol: entry.symbol,
      quoteVolume24h: Number.parseFloat(entry.quoteVolume24h) || 0,
      enteredAt: entry.enteredAt ?? now,
      lastSeenAt: entry.lastSeenAt ?? now,
    };
  });
  if (faults.of('lost')) return json(200, { success: true, upserted: symbols.length, removed: 0, totalSymbols: symbols.length });
  const { signal } = app.underway;
  for (const entry of symbols) {
    if (app.settings.rowDelayMs > 0) await sleep(2 * app.settings.rowDelayMs, undefined, { signal });
    app.store.upsertUniverse(entry);
  }
  const removed = app.store.keepUniverse(new Set(symbols.map(({ symbol }) => symbol)));
  app.events.universe();
  return json(200, { success: true, upserted: symbols.length, removed, totalSymbols: symbols.length });
}

function readUniverse({ app }) {
  return json(200, app.store.universeView());
}

function addAlert({ app, body, faults }) {
  const alert = parseJson(body);
  const numbers = [alert.baseline, alert.current].every((value) => typeof value === 'number');
  if (typeof alert.symbol !== 'string' || !alert.direction || !numbers) throw badPayload('missing required fields');
  if (alert.direction !== 'UP' && alert.direction !== 'DOWN') throw unforeseen();
  if (Number.isNaN(instant(alert.timestamp, NaN))) throw unforeseen(); // its database wants a time
  if (faults.of('lost')) return json(200, { success: true, id: 'lost' });
  const stored = app.store.addAlert({ ...alert, symbol: normalise(alert.symbol) });
  app.events.alert(stored);
  return json(200, { success: true, id: stored.id });
}

/** Wants a user's session, which the API key is not. */
function readAlerts({ app, url }) {
  if (app.settings.alertsSession) return json(401, { error: 'Missing or invalid authorization header' });
  const limit = Number.parseInt(url.searchParams.get('limit') ?? '50', 10);
  const alerts = app.store.recentAlerts({
    symbol: url.searchParams.get('symbol') && normalise(url.searchParams.get('symbol')),
    direction: url.searchParams.get('direction'),
    limit: Math.min(Number.isNaN(limit) ? 50 : limit, 100),
  });
  const rows = alerts.map((alert) => databaseRow(alert, app.settings.alertsSchema));
  return json(200, { alerts: rows, count: rows.length });
}
