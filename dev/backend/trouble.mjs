// What a fault looks like to the client.

import { html, json, proxyPage, reset, send } from './wire.mjs';

const FROM_PROXY = new Set([413, 502, 503, 504]);
const ERRORS = { 400: 'Invalid payload: data array required', 401: 'Unauthorized', 404: 'Not found', 429: 'Too many requests' };

function statusReply(fault) {
  const headers = fault.status === 429 ? { 'Retry-After': String(fault.retryAfter ?? 5) } : {};
  if (fault.retryAfter !== undefined) headers['Retry-After'] = String(fault.retryAfter);
  if (fault.mitigated) headers['cf-mitigated'] = fault.mitigated;
  if (fault.html ?? FROM_PROXY.has(fault.status)) return proxyPage(fault.status, headers);
  return json(fault.status, { error: ERRORS[fault.status] ?? 'Internal server error' }, headers);
}

function sendHalf(res, reply) {
  const body = Buffer.from(reply.body);
  res.writeHead(reply.status, { ...reply.headers, 'Content-Length': body.length });
  res.write(body.subarray(0, body.length >> 1), () => reset(res.socket));
  return 'reset';
}

/** Connections that wait for an answer which never comes; let go when the faults are cleared. */
export class Held {
  constructor() {
    this.responses = new Set();
  }

  hold(res) {
    this.responses.add(res);
    res.once('close', () => this.responses.delete(res));
    return 'hung';
  }

  release() {
    for (const res of this.responses) res.socket?.destroy();
  }
}

/** Plays the fault; returns "hung" or "reset" when the client gets no whole answer. `reply`: the backend's own. */
export function play(fault, res, reply, held) {
  switch (fault.kind) {
    case 'hang':
    case 'processed-then-hang':
      return held.hold(res);
    case 'reset-answering':
      return sendHalf(res, reply);
    case 'redirect':
      return send(res, html(fault.status, '', { Location: fault.location }));
    default:
      return send(res, statusReply(fault));
  }
}
