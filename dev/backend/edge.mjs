// A cache before the backend, as a content network keeps it: for a while everybody is given the same answer.

export class Edge {
  constructor(settings) {
    this.settings = settings;
    this.clear();
  }

  clear() {
    this.held = new Map(); // address -> {reply, at}
  }

  /** The answer it holds, with its age; null when the backend has to be asked. */
  find(req) {
    const { edgeTtlSec, edgeObeys } = this.settings;
    const found = this.held.get(req.url);
    if (edgeTtlSec === 0 || !found || (edgeObeys && /no-cache/.test(req.headers['cache-control'] ?? ''))) return null;
    const age = (Date.now() - found.at) / 1000;
    if (age >= edgeTtlSec) return null;
    return this.told(found.reply, { Age: String(Math.floor(age)), 'X-Cache': 'HIT' });
  }

  /** Hands on what the backend said, and keeps a good answer. */
  keep(req, reply) {
    if (this.settings.edgeTtlSec === 0) return reply;
    const now = Date.now();
    if (reply.status === 200) {
      const headers = this.settings.edgeTells ? { Date: new Date(now).toUTCString() } : {};
      this.held.set(req.url, { reply: { ...reply, headers: { ...reply.headers, ...headers } }, at: now });
    }
    return this.told(reply, { 'X-Cache': 'MISS' });
  }

  /** Many a cache says nothing of itself. */
  told(reply, headers) {
    return this.settings.edgeTells ? { ...reply, headers: { ...reply.headers, ...headers } } : reply;
  }
}
