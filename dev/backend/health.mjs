// What the services of the pipeline say of themselves: each /healthz is asked every two seconds, for the page's strip.
//
// A hop is {name, state, since, lastSuccess, detail}: the service's own words, instants in Unix ms. Two states are
// ours: "silent" (no answer since) and "unread" (something answered that is no health report).

const EVERY_MS = 2_000;
const PATIENCE_MS = 1_500;
const DETAIL = 300;
const LARGEST = 64 * 1024;

const instant = (text) => {
  const ms = Date.parse(text ?? '');
  return Number.isNaN(ms) ? null : ms;
};
const line = (text) => String(text).replace(/\s+/g, ' ').slice(0, DETAIL);

/** A /healthz body as a hop without its name; null when it is none. Pure. */
export function readReport(body) {
  let said;
  try {
    said = JSON.parse(body);
  } catch {
    return null;
  }
  if (typeof said?.state !== 'string' || said.state === '') return null;
  const state = line(said.state);
  return { state, since: instant(said.since), lastSuccess: instant(said.lastSuccess), detail: line(said.detail ?? '') };
}

/** Why a request failed, in words. */
function cause(error) {
  if (error.name === 'TimeoutError') return `no answer within ${PATIENCE_MS / 1000} s`;
  const code = error.cause?.code ?? error.code;
  return { ECONNREFUSED: 'nothing listens there', ENOTFOUND: 'no such host' }[code] ?? line(code ?? error.message);
}

async function ask(url) {
  const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS), redirect: 'error' });
  const body = await answer.text();
  const report = body.length > LARGEST ? null : readReport(body);
  return report ?? { state: 'unread', since: null, lastSuccess: null, detail: `answers ${answer.status}, and no health report` };
}

export class Pipeline {
  /** `addresses`: [name, url] in the order in which they are shown. */
  constructor(addresses, now = Date.now) {
    this.now = now;
    this.addresses = addresses;
    this.hops = new Map(addresses.map(([name]) => [name, { state: 'unasked', since: null, lastSuccess: null, detail: 'not asked yet' }]));
  }

  start() {
    if (this.addresses.length === 0) return;
    this.look();
    this.timer = setInterval(() => this.look(), EVERY_MS);
    this.timer.unref();
  }

  close() {
    clearInterval(this.timer);
  }

  look() {
    return Promise.all(this.addresses.map(([name, url]) => this.lookAt(name, url)));
  }

  async lookAt(name, url) {
    const before = this.hops.get(name);
    try {
      const said = await ask(url);
      const since = said.since ?? (before.state === said.state ? before.since : this.now());
      this.hops.set(name, { ...said, since });
    } catch (error) {
      const since = before.state === 'silent' ? before.since : this.now();
      this.hops.set(name, { ...before, state: 'silent', since, detail: cause(error) });
    }
  }

  view() {
    return [...this.hops].map(([name, hop]) => ({ name, ...hop }));
  }
}
