// Geometry of the small lines and of the chart. Pure: numbers in, SVG path text out.

const round = (value) => Math.round(value * 10) / 10;

/** Path through points [x, y]; `null` lifts the pen. A point alone is a short dash, so that it can be seen. */
export function path(points) {
  const parts = [];
  for (const [index, point] of points.entries()) {
    if (point === null) continue;
    const [x, y] = point.map(round);
    const first = index === 0 || points[index - 1] === null;
    const last = points[index + 1] === null || index === points.length - 1;
    parts.push(first && last ? `M${x - 1} ${y}h2` : `${first ? 'M' : 'L'}${x} ${y}`);
  }
  return parts.join('');
}

/** The path of a spark (a letter of base 36 a minute, a dot for a hole), in a box of this size. */
export function sparkPath(spark, width, height) {
  const step = width / Math.max(1, spark.length - 1);
  const y = (letter) => height - 1 - (parseInt(letter, 36) / 35) * (height - 2);
  return path([...spark].map((letter, index) => (letter === '.' ? null : [index * step, y(letter)])));
}

/** 1 where the line ends higher than it began, -1 lower, 0 alike. */
export function sparkTrend(spark) {
  const known = spark.replaceAll('.', '');
  return known === '' ? 0 : Math.sign(parseInt(known.at(-1), 36) - parseInt(known[0], 36));
}

/** Lowest and highest of the values, with room; what hardly moves keeps a scale of at least `least` of its size. */
export function extent(values, least = 0.004) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const room = Math.max((high - low) * 0.12, (Math.abs(high) * least - (high - low)) / 2, Number.MIN_VALUE);
  return [low - room, high + room];
}

/** Round numbers between low and high, about `count` of them. */
export function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(value);
  return found;
}

/** A tick as short as its step allows: 128 where they lie 2 apart, 128.5 where 0.5. */
export function tickText(value, step) {
  const digits = Math.min(12, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  return new Intl.NumberFormat('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

/** Splits points [at, …] where more than `hole` ms, or `hole(a, b)`, lie between two: a null goes in. */
export function withHoles(points, hole) {
  const most = typeof hole === 'function' ? hole : () => hole;
  return points.flatMap((point, index) => {
    const before = points[index - 1];
    const isHole = index > 0 && point[0] - before[0] > most(before, point);
    return isHole ? [null, point] : [point];
  });
}

/** Index of the point [at, …] nearest to an instant; -1 when there is none. */
export function nearest(points, at) {
  let best = -1;
  for (const [index, point] of points.entries()) {
    if (best < 0 || Math.abs(point[0] - at) < Math.abs(points[best][0] - at)) best = index;
  }
  return best;
}
