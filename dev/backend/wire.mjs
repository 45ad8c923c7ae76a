// HTTP in and out: bounded bodies, replies as plain values, and the pages that proxies in front of a backend send.

import { STATUS_CODES } from 'node:http';

/** An answer other than 200; `reply` is what goes out. */
export class Refusal extends Error {
  constructor(reply) {
    super(`answered ${reply.status}`);
    this.reply = reply;
  }
}

export const json = (status, body, headers = {}) => ({
  status,
  headers: { 'Content-Type': 'application/json; charset=utf-8', ...headers },
  body: JSON.stringify(body),
});

/** Whatever it did not foresee, the backend answers so. */
export const unforeseen = () => new Refusal(json(500, { error: 'Internal server error' }));

export const html = (status, body, headers = {}) => ({
  status,
  headers: { 'Content-Type': 'text/html', ...headers },
  body,
});

/** What a proxy says when the backend behind it cannot: never JSON. */
export function proxyPage(status, headers = {}) {
  const title = `${status} ${STATUS_CODES[status] ?? 'Error'}`;
  const page = `<html>\r\n<head><title>${title}</title></head>\r\n<body>\r\n<center><h1>${title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n`;
  return html(status, page, headers);
}

export function send(res, reply) {
  if (res.destroyed || res.headersSent) return;
  res.writeHead(reply.status, { ...reply.headers, 'Content-Length': Buffer.byteLength(reply.body) });
  res.end(reply.body);
}

/** The whole body; refuses with 413 beyond `limit` and drains the rest, so that the client reads the answer. */
export async function readBody(req, limit) {
  const announced = Number(req.headers['content-length'] ?? 0);
  const chunks = [];
  let size = 0;
  if (announced > limit) throw tooLarge(req);
  for await (const chunk of req.iterator({ destroyOnReturn: false })) {
    size += chunk.length;
    if (size > limit) throw tooLarge(req);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function tooLarge(req) {
  req.resume();
  return new Refusal(proxyPage(413, { Connection: 'close' }));
}

/** Cuts the connection with a reset instead of a clean end, as a crashed proxy does. */
export function reset(socket) {
  if (socket && !socket.destroyed) socket.resetAndDestroy();
}
