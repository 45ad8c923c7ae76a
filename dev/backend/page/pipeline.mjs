// What the strip says: how each hop of the pipeline is, since when, and why. Pure.

import { MISSING, age, ageLevel, clock } from './format.mjs';

// A hop that fails this long is no longer about to mend itself.
const PATIENCE_MS = 60_000;

const KNOWN = {
  ws_daemon: ['Prices', 'mark prices from the exchange’s stream'],
  oi_poller: ['Sweeps', 'open interest of every symbol, from the exchange'],
  publisher: ['Delivery', 'joins, posts, and reads back what is served'],
  oi_alerter: ['Alerts', 'spikes and dumps of open interest'],
  funding_api: ['Funding', 'answers this host’s scripts'],
  oi_keeper: ['History', 'keeps open interest of the last year'],
  venue_poller: ['Venues', 'open interest of other venues'],
};
/** On the way from the exchange to this page; the others stand beside it. */
export const PATH = ['ws_daemon', 'oi_poller', 'publisher'];

function level({ state, since, lastSuccess }, nowMs) {
  if (state === 'ok') return 'good';
  if (state === 'unasked') return 'none';
  if (state === 'stalled' || state === 'silent' || state === 'unread') return 'bad';
  return nowMs - (lastSuccess ?? since ?? nowMs) < PATIENCE_MS ? 'warn' : 'bad';
}

const WORDS = { silent: 'no answer', unread: 'not understood', unasked: 'not asked yet' };

/** One service's report as the strip shows it: {name, label, level, ageMs, text}. */
export function hopOf(hop, nowMs) {
  const [label, about] = KNOWN[hop.name] ?? [hop.name, ''];
  const what = WORDS[hop.state] ?? hop.state;
  const since = hop.since === null ? '' : ` since ${clock(hop.since, nowMs)}`;
  const success = hop.lastSuccess === null ? 'No success yet.' : `Last success ${age(nowMs - hop.lastSuccess)} ago.`;
  const lines = [`${label}: ${what}${since}`, hop.detail, hop.state === 'unasked' ? '' : success, about && `(${hop.name}: ${about})`];
  const from = hop.state === 'silent' ? hop.since : hop.lastSuccess;
  return {
    name: hop.name,
    label,
    level: level(hop, nowMs),
    ageMs: from === null ? null : nowMs - from,
    text: lines.filter(Boolean).join('\n'),
  };
}

function backendHop({ batchMs, connected, nowMs }) {
  const ageMs = batchMs === null ? null : nowMs - batchMs;
  const said = batchMs === null ? 'no batch yet' : `last batch of ${clock(batchMs, nowMs)}`;
  return { name: 'backend', label: 'Backend', level: connected ? ageLevel(ageMs) : 'none', ageMs, text: `Backend: ${said}` };
}

function pageHop({ heardMs, connected, nowMs }) {
  const ageMs = heardMs === null ? null : nowMs - heardMs;
  const at = clock(heardMs, nowMs);
  const text = connected ? `This page: connected, last heard of at ${at}` : `This page: no line to the backend${at === MISSING ? '' : ` since ${at}`}`;
  return { name: 'page', label: 'This page', level: connected ? 'good' : 'bad', ageMs, text };
}

/**
 * All hops in the order shown: [path, beside]. `hops` are the services' reports, [] when the backend knows of none.
 * While the line is lost nothing is known of the services, and nothing is claimed.
 */
export function strip(hops, facts) {
  const { connected, nowMs } = facts;
  const unknown = (hop) => ({ ...hop, level: 'none', ageMs: null, text: `${hop.label}: unknown while this page has no line to the backend` });
  const judged = hops.map((hop) => hopOf(hop, nowMs)).map((hop) => (connected ? hop : unknown(hop)));
  const onPath = judged.filter(({ name }) => PATH.includes(name));
  return [[...onPath, backendHop(facts), pageHop(facts)], judged.filter(({ name }) => !PATH.includes(name))];
}

/** The first hop on the way here that is not well, in a few words; null when none. */
export function trouble(hops, nowMs) {
  const bad = hops.filter(({ name }) => PATH.includes(name)).find((hop) => level(hop, nowMs) === 'bad');
  if (!bad) return null;
  const since = bad.state === 'silent' ? bad.since : (bad.lastSuccess ?? bad.since);
  return `${KNOWN[bad.name][0]}: ${WORDS[bad.state] ?? 'not well'} since ${clock(since, nowMs)}`;
}
