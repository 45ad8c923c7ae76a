// A view of what another server tells, for the page alone: asked again and again, and kept while it cannot be had.

const PATIENCE_MS = 4_000;
const LARGEST = 8 * 1024 * 1024;

/** The body that stands there. Throws where the server is away, answers an error, or too much. */
export async function bodyOf(url) {
  const answer = await fetch(url, { signal: AbortSignal.timeout(PATIENCE_MS), redirect: 'error' });
  const body = await answer.text();
  if (!answer.ok || body.length > LARGEST) throw new Error(`${answer.status}, ${body.length} characters`);
  return body;
}

export class Asked {
  /** `url`: '' where there is nobody to ask. `read` makes a view of a body, or null. `told` is called with each new view. */
  constructor(url, everyMs, read, told) {
    this.url = url;
    this.everyMs = everyMs;
    this.read = read;
    this.told = told;
    this.seen = null;
  }

  start() {
    if (this.url === '' || this.timer) return;
    this.look();
    this.timer = setInterval(() => this.look(), this.everyMs);
    this.timer.unref();
  }

  close() {
    clearInterval(this.timer);
  }

  view() {
    return this.seen;
  }

  async look() {
    try {
      const view = this.read(await bodyOf(this.url));
      if (view) this.told((this.seen = view));
    } catch {
      // away, or not what it should be; asked again in a moment
    }
  }
}
