// How numbers, ages and times are written on the page. Pure. A value that is not known is a dash, never a zero.

export const MISSING = '–';

const UNITS = [
  [1, ''],
  [1e3, 'K'],
  [1e6, 'M'],
  [1e9, 'B'],
  [1e12, 'T'],
];
const QUOTES = /^(.+?)(USDT|USDC|FDUSD|BUSD|USD1|USD|BTC|ETH)$/;

const known = (value) => typeof value === 'number' && Number.isFinite(value);
const minus = (text) => text.replace('-', '−');

const decimals = (digits) => new Intl.NumberFormat('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits });
const twoDecimals = decimals(2);
const fourDecimals = decimals(4);
const fiveDigits = new Intl.NumberFormat('en-US', { minimumSignificantDigits: 5, maximumSignificantDigits: 5 });
const sevenDigits = new Intl.NumberFormat('en-US', { maximumSignificantDigits: 7 });

/** Four digits and a unit: 12.70B, 873.2M. A value that rounds up to 1000 takes the next unit: 1.000B. */
function short(value) {
  const size = Math.abs(value);
  const written = UNITS.map(([from, letter]) => {
    const scaled = size / from;
    const whole = Math.floor(scaled).toString().length;
    return [scaled.toFixed(letter === '' ? 2 : Math.max(0, 4 - whole)), letter];
  });
  return (written.find(([digits]) => Number(digits) < 1000) ?? written.at(-1)).join('');
}

/** $12.70B, $873.2M, $4.50. */
export function usd(value) {
  if (!known(value)) return MISSING;
  // What rounds to nothing is not nothing.
  if (value !== 0 && Math.abs(value) < 0.005) return value < 0 ? '−<$0.01' : '<$0.01';
  return `${value < 0 ? '−' : ''}$${short(value)}`;
}

/** 82,345.12 up to a million, 12.35M beyond. */
export function contracts(value) {
  if (!known(value)) return MISSING;
  if (Math.abs(value) < 1e6) return minus(sevenDigits.format(value));
  return (value < 0 ? '−' : '') + short(value);
}

/** As many decimals as a price of this size needs: 93,041.35, 142.1030, 0.000012345. */
export function price(value) {
  if (!known(value)) return MISSING;
  const size = Math.abs(value);
  if (size >= 1000) return minus(twoDecimals.format(value));
  if (size >= 1 || size === 0) return minus(fourDecimals.format(value));
  return minus(fiveDigits.format(value));
}

/** A fraction as a percentage with its sign: 0.0001 is +0.0100%. */
export function percent(value, digits = 4) {
  if (!known(value)) return MISSING;
  const text = Math.abs(value * 100).toFixed(digits);
  if (Number(text) === 0) return `${text}%`;
  return `${value < 0 ? '−' : '+'}${text}%`;
}

/** 3 s, 1 m 12 s, 2 h 05 m, 3 d 4 h. An instant ahead of the clock is new, not negative. */
export function age(ms) {
  if (!known(ms)) return MISSING;
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const minutes = Math.floor(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (seconds < 60) return `${seconds} s`;
  if (minutes < 60) return `${minutes} m ${String(seconds % 60).padStart(2, '0')} s`;
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, '0')} m`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** The age in its largest unit alone, for a list: 43 s, 2 m, 1 h. */
export function roughAge(ms) {
  return age(ms).split(' ').slice(0, 2).join(' ');
}

/** How far an age can be trusted: good under 15 s, warn under 30 s, bad beyond, none when there is no value. */
export function ageLevel(ms) {
  if (!known(ms)) return 'none';
  if (ms < 15_000) return 'good';
  return ms < 30_000 ? 'warn' : 'bad';
}

/** Time of day where the reader is; with the date when that is not today. */
export function clock(ms, nowMs = Date.now(), timeZone = undefined) {
  if (!known(ms)) return MISSING;
  const day = (instant) => new Date(instant).toLocaleDateString('en-CA', { timeZone });
  const time = new Date(ms).toLocaleTimeString('en-GB', { timeZone });
  return day(ms) === day(nowMs) ? time : `${day(ms)} ${time}`;
}

/** ['BTC', 'USDT']: the part a reader looks for, and the part they skip. */
export function splitSymbol(symbol) {
  const match = QUOTES.exec(symbol);
  return match ? [match[1], match[2]] : [symbol, ''];
}
