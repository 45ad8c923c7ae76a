// tardis-dev's own client of openInterest: groups of ten, each waiting for its slowest; three seconds between rounds.
// `sweep ORIGIN TIMES` and `follow ORIGIN` as in common.py.

const { PassThrough } = require('node:stream');
const { BinanceFuturesRealTimeFeed } = require('tardis-dev/dist/realtimefeeds/binance.js');
const { version } = require('tardis-dev/package.json');

const [mode, origin, times] = process.argv.slice(2);
const symbols = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));

function client() {
  const feed = new BinanceFuturesRealTimeFeed('binance-futures', [{ channel: 'openInterest', symbols }], 0);
  feed.httpURL = `${origin}/fapi/v1`;
  const filters = [{ channel: 'openInterest', symbols }];
  return [...feed._getRealTimeFeeds('binance-futures', filters, 0)][0];
}

async function sweeps() {
  const told = { cpu_s: [], wall_s: [], got: [], version };
  for (let n = 0; n <= Number(times); n += 1) {
    const stream = new PassThrough({ objectMode: true, highWaterMark: 1024 });
    let got = 0;
    stream.on('data', () => (got += 1));
    const cpu = process.cpuUsage();
    const begun = performance.now();
    await client().poolDataToStream(stream);
    const { user, system } = process.cpuUsage(cpu);
    if (n === 0) continue; // it opens connections
    told.cpu_s.push((user + system) / 1e6);
    told.wall_s.push((performance.now() - begun) / 1000);
    told.got.push(got);
  }
  console.log(JSON.stringify(told));
}

async function follow() {
  for await (const { data } of client()) console.log(data.symbol, data.openInterest, Date.now());
}

if (mode === 'sweep') sweeps();
else follow();
