// The page's pure parts: how numbers are written, and what is said about them.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import * as format from '../../dev/backend/page/format.mjs';
import { Book, comparator, verdict } from '../../dev/backend/page/model.mjs';

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

const row = (symbol, usd, at = NOW) => [symbol, usd, 1, usd, null, at];
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
