// One request from its arrival to its end: which route, which faults, what is written into the log.

import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { control } from './control.mjs';
import { Edge } from './edge.mjs';
import { Events } from './events.mjs';
import { Faults } from './faults.mjs';
import { Pipeline } from './health.mjs';
import { BatchLog } from './log.mjs';
import { pageFile } from './page.mjs';
import { Past, RANGES } from './past.mjs';
import { ROUTES, requireKey } from './routes.mjs';
import { Store } from './store.mjs';
import { Held, play } from './trouble.mjs';
import { Venues } from './venues.mjs';
import { describe } from './ingest.mjs';
import { Refusal, json, readBody, send } from './wire.mjs';

const AWAY_DELAY_MS = 50;

export class App {
  constructor(settings) {
    this.initial = settings;
    this.settings = { ...settings };
    this.store = new Store(this.settings);
    this.log = new BatchLog();
    this.faults = new Faults();
    this.held = new Held();
    this.edge = new Edge(this.settings);
    this.pipeline = new Pipeline(settings.pipeline);
    this.venues = new Venues(settings.venuesFrom, (view) => this.events.venues(view));
    this.past = new Past(settings.pastFrom, (view) => this.events.past(view));
    this.events = new Events(this);
    this.requests = {};
    this.underway = new AbortController(); // ends what still waits when everything is forgotten
    this.server = createServer((req, res) => this.answer(req, res));
  }

  reset() {
    Object.assign(this.settings, this.initial, { port: this.settings.port });
    this.requests = {};
    this.underway.abort();
    this.underway = new AbortController();
    this.faults.set([]);
    this.held.release();
    this.log.clear();
    this.store.clear();
    this.edge.clear();
    this.events.snapshot();
  }

  async listen() {
    this.server.listen(this.settings.port, this.settings.host);
    await once(this.server, 'listening'); // rejects when the address cannot be had
    this.settings.port = this.server.address().port;
    this.pipeline.start();
    this.venues.start();
    this.past.start();
  }

  close() {
    this.pipeline.close();
    this.venues.close();
    this.past.close();
    this.events.close();
    this.server.close();
    this.server.closeAllConnections();
  }

  /** Refuses connections for a while; what is in memory stays. The request that asked is answered first. */
  goAway(seconds) {
    clearTimeout(this.returning);
    setTimeout(() => {
      this.server.close();
      this.server.closeAllConnections();
    }, AWAY_DELAY_MS);
    this.returning = setTimeout(() => this.listen(), AWAY_DELAY_MS + seconds * 1000);
  }

  /** A batch of somebody else's, stored and cached like any other. */
  writeForeign(values) {
    const timestampMs = Date.now();
    const rows = Object.entries(values).map(([symbol, openInterestUsd]) => {
      return { symbol, openInterest: null, openInterestUsd, markPrice: null, fundingRate: null };
    });
    const entry = this.log.begin('second');
    Object.assign(entry, { timestamp: new Date(timestampMs).toISOString(), rows: rows.length, status: 200, answeredAt: timestampMs });
    for (const row of rows) this.log.addRow(entry, row, timestampMs);
    entry.cached = this.store.cacheRows(rows, timestampMs);
    this.events.batch({ rows, timestampMs });
  }

  async answer(req, res) {
    try {
      if (!URL.canParse(req.url, 'http://stand-in')) throw new Refusal(json(400, { error: 'Bad address' }));
      const url = new URL(req.url, 'http://stand-in');
      const route = ROUTES.find(({ method, path }) => method === req.method && path === url.pathname);
      if (route) await this.serve(route, req, res, url);
      else if (req.method === 'GET' && url.pathname === '/events') this.events.connect(res);
      else if (req.method === 'GET' && url.pathname === '/history') send(res, await this.history(url.searchParams));
      else send(res, (await control(this, req, url)) ?? (await file(req, url)) ?? json(404, { error: 'Not found' }));
    } catch (error) {
      this.fail(error, req, res);
    }
  }

  /** The last three hours out of what came in; a longer `range` out of what the keeper kept. */
  async history(query) {
    const [symbol, range] = [query.get('symbol') ?? '', query.get('range')];
    const points = Object.hasOwn(RANGES, range) ? await this.past.points(symbol, range) : this.store.history.of(symbol, Date.now());
    return json(200, { symbol, points });
  }

  fail(error, req, res) {
    if (error.name === 'AbortError') return res.socket?.destroy(); // a reset came while it waited
    if (error instanceof Refusal) return send(res, error.reply);
    if (req.destroyed && error.code === 'ECONNRESET') return; // the client hung up in mid-body
    console.error(error);
    send(res, json(500, { error: 'Internal server error' }));
  }

  async serve(route, req, res, url) {
    const faults = this.faults.take(route.name, req.method);
    const entry = route.name === 'ingest' ? this.log.begin() : {};
    entry.from = req.socket.remoteAddress;
    entry.fault = faults.all.map((fault) => fault.kind).join('+') || null;
    const counter = `${req.method} ${route.name}`;
    this.requests[counter] = (this.requests[counter] ?? 0) + 1;
    res.once('finish', () => Object.assign(entry, { status: res.statusCode, answeredAt: Date.now() }));
    res.once('close', () => (entry.status ??= 'gone'));
    const body = req.method === 'POST' ? await readBody(req, this.settings.bodyLimit) : null;
    entry.bytes = body?.length ?? null;
    await this.respond({ app: this, req, res, url, body, entry, faults, route });
  }

  async respond(context) {
    const { res, faults, entry } = context;
    const slow = faults.of('slow');
    if (slow) await sleep(slow.delay * 1000, undefined, { signal: this.underway.signal });
    const held = context.route.cached && this.edge.find(context.req);
    if (held) return send(res, held);
    const work = faults.ending?.stage !== 'instead';
    if (!work && entry.id) describe(entry, context.body); // nobody else looks into it
    const reply = work ? await this.work(context) : null;
    if (!faults.ending) return send(res, context.route.cached ? this.edge.keep(context.req, reply) : reply);
    const outcome = play(faults.ending, res, reply, this.held);
    if (outcome) entry.status = outcome;
  }

  /** The backend's own reply, refusals included: a fault may still come after it. */
  async work({ route, ...context }) {
    try {
      if (route.key) requireKey(context.req, this.settings.apiKey);
      return await route.handle(context);
    } catch (error) {
      if (error instanceof Refusal) return error.reply;
      throw error;
    }
  }
}

const file = (req, url) => (req.method === 'GET' ? pageFile(url.pathname) : null);
