// Open interest of other venues, for the page alone: asked of the funding API every five seconds, where it has any.
// None of it goes through the ingest route: that one takes `BTC_USDT` for Binance's BTCUSDT.
//
// A view is {at, others, rows}: Unix ms, USD at all other venues together, and by Binance's symbol {usd, contracts};
// a contract is [venue, its symbol, usd, sides, received ms, why it is not in the sum or '']. null: no venue is read.

const EVERY_MS = 5_000;
const PATIENCE_MS = 4_000;
const LARGEST = 8 * 1024 * 1024;
const OWN = 'binance';

const sum = (values) => values.reduce((total, value) => total + value, 0);

/** The API's answer as a view; null when it is none. Pure. */
export function readAggregate(body) {
  let said;
  try {
    said = JSON.parse(body);
  } catch {
    return null;
  }
  if (!Array.isArray(said?.data) || typeof said.at !== 'number') return null;
  const rows = {};
  for (const coin of said.data) {
    const told = [...coin.members, ...coin.shown];
    const why = new Map(coin.leftOut.map((out) => [`${out.venue} ${out.symbol}`, out.why]));
    const contracts = told.map(({ venue, symbol, openInterestUsd, sides, updatedAt, whyNotSummed }) => {
      return [venue, symbol, openInterestUsd, sides, updatedAt * 1000, why.get(`${venue} ${symbol}`) ?? whyNotSummed ?? ''];
    });
    for (const { venue, symbol } of told) if (venue === OWN) rows[symbol] = { usd: coin.openInterestUsd, contracts };
  }
  const others = sum(said.data.flatMap(({ members }) => members.filter(({ venue }) => venue !== OWN).map((row) => row.openInterestUsd)));
  return { at: said.at * 1000, others, rows };
}

export class Venues {
  /** `url`: of the aggregate; '' where there is none. `told` is called with each new view. */
  constructor(url, told) {
    this.url = url;
    this.told = told;
    this.seen = null;
  }

  start() {
    if (this.url === '' || this.timer) return;
    this.look();
    this.timer = setInterval(() => this.look(), EVERY_MS);
    this.timer.unref();
  }

  close() {
    clearInterval(this.timer);
  }

  view() {
    return this.seen;
  }

  /** What cannot be had now is kept; the page sees how old it is. */
  async look() {
    try {
      const answer = await fetch(this.url, { signal: AbortSignal.timeout(PATIENCE_MS), redirect: 'error' });
      const body = await answer.text();
      const view = answer.ok && body.length <= LARGEST ? readAggregate(body) : null;
      if (view) this.told((this.seen = view));
    } catch {
      // away; asked again in a moment
    }
  }
}
