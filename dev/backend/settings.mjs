// What the stand-in can be told by its environment, parsed once. A value that makes no sense stops the start: a typing
// mistake that silently became the default would make a test prove something about the wrong backend.

export class SettingsError extends Error {}

const UNITS = { '': 1, b: 1, kb: 1024, mb: 1024 * 1024 };

export const HELP = `usage: node dev/backend/server.mjs

A stand-in of the operator's Node backend, with the dashboard at /.
Settings come from the environment:

  PORT          port to listen on, 0 for a free one          (3001)
  HOST          address to listen on                         (127.0.0.1)
  API_KEY       what X-API-Key must say; empty accepts all   (empty)
  CACHE_MODE    merge: a POST adds to the cache              (merge)
                replace: a POST replaces it, as older backends do
  AS_OF         arrival: asOf is when the last POST came in   (arrival)
                batch: asOf is the batch's own timestamp
  BODY_LIMIT    largest body, in bytes or as 100kb, 10mb     (10mb)
  ROW_DELAY_MS  how long the database takes for one row, or for one
                query of a universe update, of two a symbol  (0)
  ALERTS_SESSION on: alerts are shown to a user's session alone (on)
  EDGE_TTL_SEC  a cache before the public GETs keeps an answer
                for so long; 0: there is none                (0)
  EDGE_OBEYS    on: that cache obeys Cache-Control: no-cache  (off)
  EDGE_TELLS    off: that cache does not say that it is one   (on)
  PIPELINE_HEALTH  the services the page is to show, in order, as
                name=http://127.0.0.1:9101/healthz,...       (none)
  VENUES_FROM   where the page's other venues come from, such as
                http://127.0.0.1:8888/open-interest/aggregate (none)
  PAST_FROM     the funding API that tells the page of the past,
                such as http://127.0.0.1:8888                (none)

Faults are set while it runs: see dev/backend/README.md.`;

/** Bytes of `1048576`, `100kb` or `10mb`; null when it is none of these. */
export function parseBytes(value) {
  const match = /^(\d+)\s*([a-z]*)$/i.exec(String(value).trim());
  const unit = match && UNITS[match[2].toLowerCase()];
  return unit ? Number(match[1]) * unit : null;
}

function whole(name, value, high) {
  if (!/^\d+$/.test(value) || Number(value) > high) {
    throw new SettingsError(`${name}=${value}: a whole number from 0 to ${high} is wanted`);
  }
  return Number(value);
}

function delay(name, value) {
  const parsed = Number(value);
  if (value.trim() === '' || !(parsed >= 0 && parsed <= 60_000)) {
    throw new SettingsError(`${name}=${value}: milliseconds from 0 to 60000 are wanted`);
  }
  return parsed;
}

function choice(name, value, choices) {
  if (!choices.includes(value)) throw new SettingsError(`${name}=${value}: one of ${choices.join(', ')} is wanted`);
  return value;
}

function bytes(name, value) {
  const parsed = parseBytes(value);
  if (!parsed) throw new SettingsError(`${name}=${value}: a size such as 1048576, 100kb or 10mb is wanted`);
  return parsed;
}

/** [name, address] of each service; [] when none is named. */
function addresses(name, value) {
  const entries = value.split(',').map((entry) => entry.trim());
  return entries.filter(Boolean).map((entry) => {
    const [, service, url] = /^([a-z_]+)=(https?:\/\/\S+)$/.exec(entry) ?? [];
    if (!url || !URL.canParse(url)) {
      throw new SettingsError(`${name}=${value}: services such as publisher=http://127.0.0.1:9103/healthz are wanted`);
    }
    return [service, url];
  });
}

function address(name, value) {
  if (value !== '' && !/^https?:\/\//.test(value)) throw new SettingsError(`${name}=${value}: an http address is wanted`);
  return value;
}

const flag = (name, value) => choice(name, value, ['on', 'off']) === 'on';

function seconds(name, value) {
  const parsed = Number(value);
  if (value.trim() === '' || !(parsed >= 0 && parsed <= 86_400)) {
    throw new SettingsError(`${name}=${value}: seconds from 0 to 86400 are wanted`);
  }
  return parsed;
}

export const CACHE_MODES = ['merge', 'replace'];
export const AS_OF_MODES = ['arrival', 'batch'];
export const ALERT_SCHEMAS = ['new', 'old'];
export const VALUE_FORMS = ['number', 'text'];

export function readSettings(env) {
  return {
    port: whole('PORT', env.PORT ?? '3001', 65_535),
    host: env.HOST || '127.0.0.1',
    apiKey: env.API_KEY ?? '',
    cacheMode: choice('CACHE_MODE', env.CACHE_MODE ?? 'merge', CACHE_MODES),
    asOf: choice('AS_OF', env.AS_OF ?? 'arrival', AS_OF_MODES),
    bodyLimit: bytes('BODY_LIMIT', env.BODY_LIMIT ?? '10mb'),
    rowDelayMs: delay('ROW_DELAY_MS', env.ROW_DELAY_MS ?? '0'),
    alertsSession: flag('ALERTS_SESSION', env.ALERTS_SESSION ?? 'on'),
    edgeTtlSec: seconds('EDGE_TTL_SEC', env.EDGE_TTL_SEC ?? '0'),
    edgeObeys: flag('EDGE_OBEYS', env.EDGE_OBEYS ?? 'off'),
    edgeTells: flag('EDGE_TELLS', env.EDGE_TELLS ?? 'on'),
    pipeline: addresses('PIPELINE_HEALTH', env.PIPELINE_HEALTH ?? ''),
    pastFrom: address('PAST_FROM', env.PAST_FROM ?? ''),
    venuesFrom: address('VENUES_FROM', env.VENUES_FROM ?? ''),
    reportCached: true, // false: an older backend, whose answer has no `cached`
    databaseDown: false, // true: 200, `success` false, no row stored, and the cache filled all the same
    alertsSchema: 'new', // old: rows without time frame, price change and funding rate
    valuesAs: 'number', // text: the public values in quotes, as a decimal column leaves many APIs
  };
}
