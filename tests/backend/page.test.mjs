// The page's pure parts: how numbers are written, and what is said about them.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';

import { Pipeline, readReport } from '../../dev/backend/health.mjs';
import { History, Ring, SPAN_MS, STEP_MS } from '../../dev/backend/history.mjs';
import { readChanges, readPoints } from '../../dev/backend/past.mjs';
import { remembered } from '../../dev/backend/page/columns.mjs';
import * as format from '../../dev/backend/page/format.mjs';
import * as lines from '../../dev/backend/page/lines.mjs';
import { Book, comparator, movers, verdict } from '../../dev/backend/page/model.mjs';
import { hopOf, strip } from '../../dev/backend/page/pipeline.mjs';
import { bars, members } from '../../dev/backend/page/venues.mjs';
import { readAggregate } from '../../dev/backend/venues.mjs';

const NOW = Date.UTC(2025, 11, 3, 12, 3, 30);
const NO_UNIVERSE = { updatedAt: null, symbols: [] };

const table = (name, write, cases) =>
  test(name, () => {
    for (const [value, text] of cases) assert.equal(write(value), text, `of ${value}`);
  });

table('a value that is not known is a dash, and zero is a value', (write) => write(), [
  ...[format.usd, format.contracts, format.price, format.percent, format.age, format.roughAge, format.clock].flatMap((write) =>
    [null, undefined, NaN, Infinity].map((value) => [() => write(value), '–']),
  ),
  [() => format.usd(0), '$0.00'],
]);

table('dollars have four digits and a unit', format.usd, [
  [12_700_000_000, '$12.70B'],
  [873_200_000, '$873.2M'],
  [1_234_567, '$1.235M'],
  [999_949, '$999.9K'],
  [999_950, '$1.000M'],
  [999_960_000, '$1.000B'],
  [1.5e12, '$1.500T'],
  [2.5e15, '$2500T'],
  [4.5, '$4.50'],
  [0.004, '<$0.01'],
  [999.99, '$999.99'],
  [999.999, '$1.000K'],
  [-7_500_000, '−$7.500M'],
]);

table('contracts are whole up to a million', format.contracts, [
  [82_345.123, '82,345.12'],
  [0.5, '0.5'],
  [999_999.94, '999,999.9'],
  [12_345_678, '12.35M'],
  [-12, '−12'],
]);

table('a price has the decimals its size needs', format.price, [
  [93_041.35202399, '93,041.35'],
  [142.103, '142.1030'],
  [0.26117, '0.26117'],
  [0.000012345678, '0.000012346'],
  [0, '0.0000'],
  [-3.1, '−3.1000'],
]);

table('funding is a percentage with its sign', format.percent, [
  [0.0001, '+0.0100%'],
  [-0.000754, '−0.0754%'],
  [0, '0.0000%'],
  [-0.0000001, '0.0000%'],
]);

table('an age is told in two units, and never negative', format.age, [
  [-500, '0 s'],
  [3_999, '3 s'],
  [72_000, '1 m 12 s'],
  [3_600_000 * 2 + 300_000, '2 h 05 m'],
  [3_600_000 * 76, '3 d 4 h'],
]);

table('a rough age is told in one', format.roughAge, [
  [43_000, '43 s'],
  [72_000, '1 m'],
  [7_500_000, '2 h'],
]);

table('an age is good under 15 s and bad from 30 s', format.ageLevel, [
  [14_999, 'good'],
  [15_000, 'warn'],
  [29_999, 'warn'],
  [30_000, 'bad'],
  [null, 'none'],
]);

table('the quote asset is set apart', (symbol) => format.splitSymbol(symbol).join('|'), [
  ['BTCUSDT', 'BTC|USDT'],
  ['1000SHIBUSDC', '1000SHIB|USDC'],
  ['币安人生USDT', '币安人生|USDT'],
  ['ETHBTC', 'ETH|BTC'],
  ['USDT', 'USDT|'],
  ['BTCUSDT250926', 'BTCUSDT250926|'],
]);

test('a time of another day carries its date', () => {
  assert.equal(format.clock(NOW - 27_000, NOW, 'UTC'), '12:03:03');
  assert.equal(format.clock(NOW - 86_400_000, NOW, 'UTC'), '2025-12-02 12:03:30');
});

const row = (symbol, usd, at = NOW, ...changes) => [symbol, usd, 1, usd, null, at, ...changes];
const universe = (...symbols) => ({ updatedAt: 'now', symbols: symbols.map((symbol) => [symbol, 5e6]) });

function bookOf(rows, liquid = NO_UNIVERSE, batchMs = NOW) {
  const book = new Book();
  book.snapshot({ rows, universe: liquid, batchMs });
  return book;
}

const say = (book, connected = true, nowMs = NOW) => verdict(book, book.summary(nowMs), { connected, nowMs });

test('an empty book has no total: nothing is not zero', () => {
  const book = bookOf([], NO_UNIVERSE, null);
  assert.equal(book.summary(NOW).total, null);
  assert.deepEqual(say(book), ['none', 'Waiting for the first batch']);
});

test('a liquid symbol that is not served stays in the table, without values', () => {
  const book = bookOf([row('AUSDT', 2)], universe('AUSDT', 'BUSDT'));
  assert.equal(book.mark(book.rows.get('BUSDT')), 'missing');
  assert.equal(book.rows.get('BUSDT').usd, null);
  assert.deepEqual(say(book), ['bad', '1 of 2 not served']);
});

test('a symbol that left the universe is a ghost, and not part of the total', () => {
  const book = bookOf([row('AUSDT', 2), row('BUSDT', 3)], universe('AUSDT'));
  assert.equal(book.mark(book.rows.get('BUSDT')), 'ghost');
  assert.equal(book.summary(NOW).total, 2);
  assert.deepEqual(say(book), ['warn', '1 symbol no longer liquid']);
});

test('a replacing batch leaves only what it brought', () => {
  const book = bookOf([row('AUSDT', 2), row('BUSDT', 3)]);
  book.batch({ rows: [row('BUSDT', 4)], batchMs: NOW, replaces: true });
  assert.deepEqual([...book.rows.keys()], ['BUSDT']);
});

test('a merging batch leaves the others with their age', () => {
  const book = bookOf([row('AUSDT', 2, NOW - 31_000), row('BUSDT', 3)]);
  assert.deepEqual(say(book), ['warn', '1 symbol older than 30 s']);
  book.batch({ rows: [row('AUSDT', 2)], batchMs: NOW, replaces: false });
  assert.deepEqual(say(book), ['good', 'Live']);
});

test('a symbol that newer batches lack is stale, and keeps its value and its age', () => {
  const book = bookOf([row('AUSDT', 2, NOW - 31_000), row('BUSDT', 3)]);
  assert.equal(book.mark(book.rows.get('AUSDT')), 'stale');
  assert.equal(book.mark(book.rows.get('BUSDT')), '');
  assert.equal(book.summary(NOW).stale, 1);
  assert.equal(book.rows.get('AUSDT').usd, 2);
});

test('the largest moves come first, and what is old or unknown is none', () => {
  const book = bookOf([
    row('AUSDT', 1, NOW, 0.01),
    row('BUSDT', 1, NOW, -0.05),
    row('CUSDT', 1, NOW, null),
    row('DUSDT', 1, NOW - 40_000, 0.9),
    row('EUSDT', 1, NOW, 0),
  ]);
  assert.deepEqual(movers(book, 'd5', 9, NOW).map(({ symbol }) => symbol), ['BUSDT', 'AUSDT']);
  assert.deepEqual(movers(book, 'd5', 1, NOW).map(({ symbol }) => symbol), ['BUSDT']);
});

test('the change of the total leaves prices out, and is unknown while much of it is', () => {
  const book = bookOf([row('AUSDT', 110, NOW, 0.1), row('BUSDT', 90, NOW, -0.1)]);
  assert.equal(book.totalChange('d5', NOW, 200), 0);
  assert.equal(book.totalChange('d15', NOW, 200), null);
  assert.equal(book.totalChange('d5', NOW, 300), null);
});

test('the worst is said first: a lost line, then silence', () => {
  const book = bookOf([row('AUSDT', 2)], universe('AUSDT', 'BUSDT'));
  const since = format.clock(NOW, NOW);
  assert.deepEqual(say(book, true, NOW + 30_000), ['bad', `No data since ${since}`]);
  assert.deepEqual(say(book, false, NOW + 30_000), ['bad', `Connection lost, values of ${since}`]);
  assert.deepEqual(say(new Book(), false), ['bad', 'Connection lost']);
});

test('missing values come last whichever way a column is sorted', () => {
  const rows = [
    { symbol: 'A2', usd: null, at: null },
    { symbol: 'A10', usd: 0, at: NOW },
    { symbol: 'B', usd: 5, at: NOW - 9 },
  ];
  const order = (key, direction) => rows.toSorted(comparator(key, direction)).map(({ symbol }) => symbol);
  assert.deepEqual(order('usd', 'descending'), ['B', 'A10', 'A2']);
  assert.deepEqual(order('usd', 'ascending'), ['A10', 'B', 'A2']);
  assert.deepEqual(order('age', 'ascending'), ['A10', 'B', 'A2']);
  assert.deepEqual(order('symbol', 'ascending'), ['A2', 'A10', 'B']);
});

const ringOf = (...readings) => {
  const ring = new Ring();
  for (const [at, contracts, mark = 1] of readings) ring.put(at, contracts, mark);
  return ring;
};

test('of each step the newest reading stays, whatever the order of arrival', () => {
  const first = Math.floor(NOW / STEP_MS) * STEP_MS;
  const ring = ringOf([first + 9, 3], [first, 1], [first + 5, 2], [first - STEP_MS, 0]);
  assert.deepEqual(ring.points(0), [[first - STEP_MS, 0, 1], [first + 9, 3, 1]]);
});

test('a ring holds three hours and no more', () => {
  const ring = new Ring();
  for (let at = NOW; at < NOW + 2 * SPAN_MS; at += STEP_MS / 2) ring.put(at, at, 1);
  const points = ring.points(0);
  assert.equal(points.length, SPAN_MS / STEP_MS);
  assert.equal(points.at(-1)[0] - points[0][0], SPAN_MS - STEP_MS);
  ring.put(NOW, 7, 1); // long gone: it must not stand for what took its place
  assert.deepEqual(ring.points(0), points);
});

test('a change needs a reading near enough to where it looks, and above nothing', () => {
  const change = (...readings) => ringOf(...readings).change(300_000, 30_000);
  assert.equal(change([NOW - 300_000, 100], [NOW, 105]), 0.05);
  assert.equal(change([NOW - 329_000, 100], [NOW, 105]), 0.05);
  assert.equal(change([NOW - 331_000, 100], [NOW, 105]), null);
  assert.equal(change([NOW - 325_000, 50], [NOW - 290_000, 100], [NOW, 105]), 0.05, 'the nearest counts');
  assert.equal(change([NOW - 300_000, 0], [NOW, 105]), null);
  assert.equal(change([NOW, 105]), null);
  assert.equal(new Ring().change(300_000, 30_000), null);
});

test('an hour becomes a letter a minute, with dots for what is not known', () => {
  const minute = (count) => NOW - count * 60_000;
  const spark = ringOf([minute(2), 100], [minute(0), 200]).spark(NOW);
  assert.equal(spark, `${'.'.repeat(57)}0.z`);
  assert.equal(ringOf([minute(1), 100], [minute(0), 100.001]).spark(NOW).slice(-2), 'hi', 'hardly moved is all but flat');
  assert.equal(ringOf([minute(1), 100]).spark(NOW), '', 'one reading is no line');
});

test('memory is bounded: symbols beyond the limit wait until others are gone', () => {
  const history = new History();
  const rows = (prefix, count) => Array.from({ length: count }, (_, index) => ({ symbol: `${prefix}${index}`, openInterest: 1 }));
  history.take(rows('A', 3_000), NOW, NOW);
  assert.equal(history.rings.size, 2_000);
  history.take(rows('B', 10), NOW + SPAN_MS + 1, NOW + SPAN_MS + 1);
  assert.equal(history.rings.size, 10);
  history.take([{ symbol: 'C', openInterest: null }], NOW, NOW);
  assert.deepEqual(history.of('C', NOW), []);
});

test('a report is read or refused, and never breaks the reader', () => {
  const whole = { state: 'ok', since: '2025-12-03T12:00:00.000Z', lastSuccess: null, detail: 'a\nb', pid: 7 };
  assert.deepEqual(readReport(JSON.stringify(whole)), { state: 'ok', since: Date.UTC(2025, 11, 3, 12), lastSuccess: null, detail: 'a b' });
  for (const body of ['', '{', 'null', '[]', '7', '"ok"', '{}', '{"state":""}', '{"state":{}}', '{"state":null}']) {
    assert.equal(readReport(body), null, body);
  }
  const text = JSON.stringify(whole);
  for (let cut = 0; cut < text.length; cut += 1) {
    assert.equal(readReport(text.slice(0, cut)), null, 'cut off');
    const flipped = readReport(text.slice(0, cut) + String.fromCharCode(text.charCodeAt(cut) ^ 3) + text.slice(cut + 1));
    assert.ok(flipped === null || typeof flipped.state === 'string');
  }
  const odd = readReport(JSON.stringify({ state: 'x'.repeat(999), since: 'soon', lastSuccess: [], detail: { a: 1 } }));
  assert.equal(odd.state.length, 300);
  assert.deepEqual([odd.since, odd.lastSuccess], [null, null]);
});

test('a service is told in its own words; one that falls silent is dated, and what is no report is not believed', async () => {
  const stamp = Date.UTC(2025, 11, 3, 12, 3, 4);
  const said = { state: 'degraded', since: new Date(stamp), lastSuccess: new Date(stamp), detail: 'PARTIAL: 43 of 343 served as sent' };
  let [body, clock] = [JSON.stringify(said), 1000];
  const server = createServer((req, res) => (body === null ? req.socket.destroy() : res.writeHead(503).end(body))).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const gone = createServer().listen(0, '127.0.0.1');
  await once(gone, 'listening');
  const urls = [server, gone].map((one) => `http://127.0.0.1:${one.address().port}/healthz`);
  gone.close();
  const pipeline = new Pipeline([['publisher', urls[0]], ['nobody', urls[1]]], () => clock);
  const look = async () => {
    await pipeline.look();
    return pipeline.view();
  };
  try {
    assert.deepEqual(pipeline.view().map(({ name, state }) => [name, state]), [['publisher', 'unasked'], ['nobody', 'unasked']]);
    const own = { name: 'publisher', ...said, since: stamp, lastSuccess: stamp };
    const [told, nobody] = await look();
    assert.deepEqual(told, own);
    assert.deepEqual(nobody, { name: 'nobody', state: 'silent', since: 1000, lastSuccess: null, detail: 'nothing listens there' });
    [body, clock] = [null, 3000];
    await look();
    clock = 5000;
    const [silent] = await look();
    assert.deepEqual([silent.state, silent.since, silent.lastSuccess], ['silent', 3000, stamp], 'what was known of it stays known');
    for (body of ['', '<html>', '{"status": "ok"}', 'x'.repeat(100_000)]) assert.equal((await look())[0].state, 'unread');
    body = JSON.stringify(said);
    assert.deepEqual((await look())[0], own);
  } finally {
    server.close();
  }
  assert.deepEqual(new Pipeline([]).view(), []);
});

const hop = (state, more = {}) => ({ name: 'publisher', state, since: NOW - 90_000, lastSuccess: NOW - 4_000, detail: 'why', ...more });

test('a hop is green while it does its job, amber for a minute of trouble, then red', () => {
  const levels = (...hops) => hops.map((one) => hopOf(one, NOW).level);
  assert.deepEqual(levels(hop('ok'), hop('degraded'), hop('stalled'), hop('silent'), hop('unread')), ['good', 'warn', 'bad', 'bad', 'bad']);
  assert.deepEqual(levels(hop('degraded', { lastSuccess: NOW - 61_000 })), ['bad']);
  assert.deepEqual(levels(hop('starting', { lastSuccess: null })), ['bad'], 'starting for a minute and a half');
  assert.deepEqual(levels(hop('starting', { lastSuccess: null, since: NOW - 5_000 })), ['warn']);
});

test('a silent hop says since when, and its age is that of the silence', () => {
  const silent = hopOf(hop('silent', { detail: 'nothing listens there' }), NOW);
  const since = format.clock(NOW - 90_000, NOW);
  assert.equal(silent.ageMs, 90_000);
  assert.equal(silent.text.split('\n')[0], `Delivery: no answer since ${since}`);
  assert.match(silent.text, /nothing listens there/);
});

test('without a line nothing is claimed of the services', () => {
  const facts = { batchMs: NOW, heardMs: NOW - 9_000, connected: false, nowMs: NOW };
  const [path] = strip([hop('ok')], facts);
  assert.deepEqual(path.map(({ name, level }) => [name, level]), [['publisher', 'none'], ['backend', 'none'], ['page', 'bad']]);
});

test('trouble upstream is said while values are still fresh', () => {
  const book = bookOf([row('AUSDT', 2)]);
  const hops = [hop('ok', { name: 'oi_poller' }), hop('silent')];
  const say = verdict(book, book.summary(NOW), { connected: true, nowMs: NOW, hops });
  assert.deepEqual(say, ['warn', `Delivery: no answer since ${format.clock(NOW - 90_000, NOW)}`]);
});

test('lines lift the pen over holes, and a point alone can be seen', () => {
  assert.equal(lines.path([[0, 1], [2, 3], null, [5, 5]]), 'M0 1L2 3M4 5h2');
  assert.equal(lines.sparkPath('0z.z', 30, 20), 'M0 19L10 1M29 1h2');
  assert.deepEqual([lines.sparkTrend('0.z'), lines.sparkTrend('z..0'), lines.sparkTrend('5.5'), lines.sparkTrend('')], [1, -1, 0, 0]);
  assert.deepEqual(lines.withHoles([[0], [1], [9]], 5), [[0], [1], null, [9]]);
});

test('ticks are round and within, and written as short as they can be', () => {
  assert.deepEqual(lines.ticks(0.3, 10.2, 5), [2, 4, 6, 8, 10]);
  assert.deepEqual([lines.tickText(128, 2), lines.tickText(128.5, 0.5), lines.tickText(0.00012, 0.00002)], ['128', '128.5', '0.00012']);
  const [low, high] = lines.extent([100, 100]);
  assert.ok(low < 100 && high > 100, 'a still value has a scale');
  assert.equal(lines.nearest([[0], [10], [20]], 14), 1);
  assert.equal(lines.nearest([], 14), -1);
});

const contract = (venue, symbol, openInterestUsd, sides = 'one', whyNotSummed = null) => {
  return { venue, symbol, openInterestUsd, sides, whyNotSummed, updatedAt: NOW / 1000 - 4 };
};
const BTC_SUM = {
  coin: 'BTC',
  openInterestUsd: 11e9,
  members: [contract('binance', 'BTCUSDT', 8e9), contract('gate', 'BTC_USDT', 3e9)],
  shown: [contract('okx', 'BTC-USDT-SWAP', 2e9, 'one', 'stale'), contract('bitget', 'BTCUSDT', 2.5e9, 'unknown', 'unknown_sides')],
  leftOut: [{ venue: 'okx', symbol: 'BTC-USDT-SWAP', why: 'jump' }, { venue: 'gate', symbol: 'NEW_USDT', why: 'absurd' }],
};
const ALONE = { coin: 'XYZ', openInterestUsd: 5e6, members: [contract('gate', 'XYZ_USDT', 5e6)], shown: [], leftOut: [] };
const view = (...data) => readAggregate(JSON.stringify({ at: NOW / 1000, venues: [], data }));

test('the sum over venues stands by Binance\u2019s symbol, and what is not in it with its reason', () => {
  const { at, others, rows } = view(BTC_SUM, ALONE);
  assert.deepEqual([at, others, Object.keys(rows)], [NOW, 3e9 + 5e6, ['BTCUSDT']]);
  assert.equal(rows.BTCUSDT.usd, 11e9);
  assert.deepEqual(rows.BTCUSDT.contracts[2], ['okx', 'BTC-USDT-SWAP', 2e9, 'one', NOW - 4000, 'jump']);
  for (const body of ['', '[]', '{"data":1}', '{"detail":{}}']) assert.equal(readAggregate(body), null);
});

test('the members of a sum in words, and as bars', () => {
  const venues = view(BTC_SUM);
  assert.equal(members(venues, 'BTCUSDT', NOW).split('\n')[3], 'Bitget BTCUSDT: $2.500B, 4 s; not in the sum: sides unknown');
  assert.equal(members(venues, 'ETHUSDT', NOW), 'no other venue is known to have it');
  const shown = bars(venues.rows.BTCUSDT);
  assert.deepEqual(shown.map(({ label, out }) => [label, out]), [
    ['Binance BTCUSDT', false], ['Gate BTC_USDT', false], ['Bitget BTCUSDT', true], ['OKX BTC-USDT-SWAP', true],
  ]);
  assert.deepEqual([shown[0].share, shown[1].share, shown[3].side], [1, 0.375, 'jumped']);
});

test('a sum that is not known is no zero, and one that is old is dropped', () => {
  const book = new Book();
  book.snapshot({ rows: [['BTCUSDT', 8e9, 1, 1, 0, NOW, 0, 0, 0], ['ETHUSDT', 1, 1, 1, 0, NOW, 0, 0, 0]], universe: NO_UNIVERSE, batchMs: NOW });
  book.overVenues(view({ ...BTC_SUM, openInterestUsd: null }));
  assert.deepEqual([book.rows.get('BTCUSDT').all, book.rows.get('ETHUSDT').all], [null, null]);
  book.overVenues(view(BTC_SUM));
  assert.equal(book.rows.get('BTCUSDT').all, 11e9);
  assert.deepEqual([book.expireVenues(NOW + 29_000), book.expireVenues(NOW + 30_000), book.venues], [false, true, null]);
  assert.equal(book.rows.get('BTCUSDT').all, null);
});

test('changes over longer times are those that are told, and no others', () => {
  const since = (change) => ({ change, priceChange: null, ageSeconds: 9 });
  const told = { data: [{ symbol: 'BTC-USDT', '5m': since(0.5), '4h': since(0.1), '24h': null, '7d': since(0) }] };
  assert.deepEqual(readChanges(told, NOW), { at: NOW, rows: { BTCUSDT: [0.1, null, 0] } });
  for (const odd of [null, {}, [], { data: 'x' }]) assert.equal(readChanges(odd, NOW), null);
});

test('rows of the past are points, each with who told it', () => {
  const rows = [{ updatedAt: 1.5, openInterest: 7, markPrice: null, source: 'exchange' }, { updatedAt: 2, openInterest: 8, markPrice: 9, source: 'seen' }];
  assert.deepEqual(readPoints({ rows }), [[1500, 7, null, 1], [2000, 8, 9, 0]]);
  for (const odd of [null, {}, { rows: 1 }]) assert.deepEqual(readPoints(odd), []);
});

test('changes over longer times stay with their symbol, and go when they are old', () => {
  const book = new Book();
  book.snapshot({ rows: [['BTCUSDT', 1, 1, 1, 0, NOW, null, null, null]], universe: NO_UNIVERSE, batchMs: NOW, past: { at: NOW, rows: { BTCUSDT: [0.1, null, 0.3] } } });
  const shown = () => ['d240', 'd1440', 'd10080'].map((key) => book.rows.get('BTCUSDT')[key]);
  assert.deepEqual(shown(), [0.1, null, 0.3]);
  book.batch({ rows: [['BTCUSDT', 2, 2, 1, 0, NOW, null, null, null]], batchMs: NOW, replaces: true });
  assert.deepEqual(shown(), [0.1, null, 0.3]);
  assert.equal(book.expirePast(NOW + 119_999), false);
  assert.equal(book.expirePast(NOW + 120_000), true);
  assert.deepEqual(shown(), [null, null, null]);
});

test('the columns remembered are known ones in their order; else those of the first time', () => {
  assert.deepEqual(remembered('["d10080","d5","evil"]'), ['d5', 'd10080']);
  assert.deepEqual(remembered('[]'), []);
  for (const odd of ['', 'null', '{', '7']) assert.deepEqual(remembered(odd), ['d5', 'd60', 'd1440']);
});

test('what the exchange tells by the hour is one line, and a hole in what was seen stays one', () => {
  const points = [[0, 1, 1, 1], [60, 1, 1, 1], [100, 1, 1, 0], [170, 1, 1, 0]];
  const hole = (a, b) => (a[3] || b[3] ? 70 : 50);
  assert.deepEqual(lines.withHoles(points, hole).map((point) => point?.[0] ?? null), [0, 60, 100, null, 170]);
});
