// Open interest of other venues, for the page alone: asked of the funding API every five seconds, where it has any.
// None of it goes through the ingest route: that one takes `BTC_USDT` for Binance's BTCUSDT.
//
// A view is {at, others, away, rows}: Unix ms, USD at all other venues together, the venues that are in no sum because
// they cannot be read now, and by Binance's symbol {usd, contracts}; a contract is [venue, its symbol, usd, sides, received ms, why it is not in the sum or '']. null: no venue is read.

import { Asked } from './asked.mjs';

const EVERY_MS = 5_000;
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
  const others = said.data.flatMap(({ members }) => members.filter(({ venue }) => venue !== OWN));
  const inside = new Set(others.map(({ venue }) => venue));
  const away = (said.venues ?? []).filter(({ venue, trouble }) => trouble && venue !== OWN && !inside.has(venue));
  return { at: said.at * 1000, others: sum(others.map((row) => row.openInterestUsd)), away: away.map(({ venue }) => venue), rows };
}

export class Venues extends Asked {
  /** `url`: of the aggregate; '' where there is none. */
  constructor(url, told) {
    super(url, EVERY_MS, readAggregate, told);
  }
}
