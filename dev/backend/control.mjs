// The one route by which a test or a person looks into the stand-in and makes it misbehave. Documented in README.md.

import { ControlError, parseFault } from './faults.mjs';
import { ALERT_SCHEMAS, AS_OF_MODES, CACHE_MODES, VALUE_FORMS, parseBytes } from './settings.mjs';
import { json, readBody } from './wire.mjs';

const CONTROL_BODY_LIMIT = 1024 * 1024;
const BATCHES_SHOWN = 100;

const check = (name, value, good) => {
  if (!good) throw new ControlError(`${name}=${JSON.stringify(value)} makes no sense`);
  return value;
};
const whole = (text, fallback) => (/^\d+$/.test(text ?? '') ? Number(text) : fallback);
const switched = (name) => (value) => set(name, check(name, value, typeof value === 'boolean'));
const numbers = (value) => value !== null && typeof value === 'object' && Object.values(value).every(Number.isFinite);

// Each reads its value and returns what to do, so that a bad request changes nothing at all.
const SETTERS = {
  cacheMode: (value) => set('cacheMode', check('cacheMode', value, CACHE_MODES.includes(value))),
  asOf: (value) => set('asOf', check('asOf', value, AS_OF_MODES.includes(value))),
  bodyLimit: (value) => set('bodyLimit', parseBytes(check('bodyLimit', value, parseBytes(value)))),
  rowDelayMs: (value) => set('rowDelayMs', check('rowDelayMs', value, value >= 0 && value <= 60_000)),
  reportCached: switched('reportCached'),
  databaseDown: switched('databaseDown'),
  alertsSession: switched('alertsSession'),
  alertsSchema: (value) => set('alertsSchema', check('alertsSchema', value, ALERT_SCHEMAS.includes(value))),
  valuesAs: (value) => set('valuesAs', check('valuesAs', value, VALUE_FORMS.includes(value))),
  edgeTtlSec: (value) => set('edgeTtlSec', check('edgeTtlSec', value, value >= 0 && value <= 86_400)),
  edgeObeys: switched('edgeObeys'),
  edgeTells: switched('edgeTells'),
  faults: (value) => {
    const faults = check('faults', value, Array.isArray(value)).map(parseFault);
    return (app) => {
      app.faults.set(faults);
      app.held.release();
    };
  },
  fault: (value) => {
    const fault = parseFault(value);
    return (app) => app.faults.add(fault);
  },
  write: (value) => {
    const values = check('write', value, numbers(value));
    return (app) => app.writeForeign(values);
  },
  writeUniverse: (value) => {
    const symbols = check('writeUniverse', value, Array.isArray(value) && value.every((one) => typeof one === 'string'));
    return (app) => app.store.writeUniverse(symbols);
  },
  dropCache: (value) => {
    check('dropCache', value, value === true);
    return (app) => app.store.dropCache();
  },
  away: (value) => {
    const seconds = check('away', value, value > 0 && value <= 3600);
    return (app) => app.goAway(seconds);
  },
};

function set(name, value) {
  return (app) => {
    app.settings[name] = value;
  };
}

function state(app) {
  const { port, host, apiKey, pipeline, venuesFrom, pastFrom, ...settings } = app.settings;
  return {
    settings,
    faults: app.faults.view(),
    requests: app.requests,
    cache: { symbols: app.store.cache.size, batchMs: app.store.batchMs, arrivalMs: app.store.arrivalMs },
    universe: { symbols: app.store.universe.size },
    alerts: app.store.alerts.length,
    rows: { kept: app.log.rowCount, repeated: app.log.repeated },
    lastBatch: app.log.lastId,
    batches: app.log.batches.slice(-BATCHES_SHOWN), // GET /control/batches has them all
    readers: app.events.clients.size,
  };
}

async function change(app, req) {
  const body = await readBody(req, CONTROL_BODY_LIMIT);
  let wanted;
  try {
    wanted = JSON.parse(body.toString('utf8'));
  } catch {
    throw new ControlError('body is not JSON');
  }
  const actions = Object.entries(check('body', wanted, wanted !== null && typeof wanted === 'object')).map(([name, value]) => {
    if (!Object.hasOwn(SETTERS, name)) throw new ControlError(`${name}: one of ${Object.keys(SETTERS).join(', ')}`);
    return SETTERS[name](value);
  });
  for (const act of actions) act(app);
  app.events.snapshot();
  return state(app);
}

function reset(app) {
  app.reset();
  return state(app);
}

const PAGES = {
  'GET /control': (app) => state(app),
  'GET /control/batches': (app, req, query) => ({ batches: app.log.since(whole(query.get('since'), 0)), last: app.log.lastId }),
  'GET /control/rows': (app, req, query) => ({
    rows: app.log.rowsOf(query.get('symbol'), whole(query.get('limit'), 10_000)),
  }),
  'POST /control': change,
  'POST /control/reset': reset,
};

/** Reply of a control page; null when the address is none. */
export async function control(app, req, url) {
  const page = PAGES[`${req.method} ${url.pathname}`];
  if (!page) return null;
  // Another site open in the same browser must not be able to set faults here.
  const origin = req.headers.origin;
  if (origin && origin !== `http://${req.headers.host}`) return json(403, { error: 'not from another site' });
  try {
    return json(200, await page(app, req, url.searchParams));
  } catch (error) {
    if (error instanceof ControlError) return json(400, { error: error.message });
    throw error;
  }
}
