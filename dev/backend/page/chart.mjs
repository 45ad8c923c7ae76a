// The chart of one symbol: open interest as a line with a ground, the mark price as a thin line of its own scale. A part of it
// is shown larger by drawing over it, or with + and -; a double click or 0 shows all of it again.

import { element, svg } from './dom.mjs';
import * as format from './format.mjs';
import { extent, nearest, path, tickText, ticks, withHoles } from './lines.mjs';

const [MINUTE_MS, HOUR_MS] = [60_000, 3_600_000];
const DAY_MS = 24 * HOUR_MS;
// How far back a range goes (null: to its oldest point), and how far its points may lie apart before there is a hole.
const RANGES = { '3h': [3 * HOUR_MS, 2 * MINUTE_MS], '24h': [DAY_MS, 12 * MINUTE_MS], '7d': [7 * DAY_MS, 40 * MINUTE_MS], all: [null, 9 * HOUR_MS] };
const TOLD_HOLE_MS = 70 * MINUTE_MS; // the exchange tells hours
const TICKS_MS = [5, 15, 30, 60, 180, 360, 720, 1440, 2880, 10_080, 43_200].map((minutes) => minutes * MINUTE_MS);
const MOST_TICKS = 7;
const LEAST_PIXELS = 8; // drawn over fewer, it was a click
const HEIGHT = 230;
const EDGE = { left: 52, right: 62, top: 8, bottom: 22 };

const contracts = new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 5 });
const minute = (ms) => format.clock(ms, ms).slice(0, 5);
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });

/** `points`: [at, contracts, mark or null, 1 where the exchange told it], oldest first. `alerts`: newest first. */
export class Chart {
  constructor(box, reading) {
    this.box = box;
    this.reading = reading;
    this.points = [];
    this.range('3h');
    this.box.tabIndex = 0;
    this.box.role = 'img';
    this.box.onpointermove = (event) => this.point(event);
    this.box.onpointerleave = this.box.onblur = () => this.pick(-1);
    this.box.onkeydown = (event) => this.step(event);
    this.box.onpointerdown = (event) => this.drawFrom(event);
    this.box.onpointerup = (event) => this.drawnOver(event);
    this.box.ondblclick = () => this.zoom(null);
    new ResizeObserver(() => this.draw()).observe(box);
  }

  show(points, alerts, nowMs) {
    const last = this.picked >= 0 && this.points[this.picked]?.[0];
    Object.assign(this, { points, alerts, nowMs });
    this.draw();
    this.pick(last ? nearest(points, last) : -1);
  }

  /** Another time is shown, all of it. */
  range(name) {
    [this.spanMs, this.holeMs] = RANGES[name];
    this.window = null;
  }

  /** Shows this part [from, to] alone; null: all of it. */
  zoom(part) {
    this.window = part;
    this.draw();
    this.pick(-1);
  }

  /** What follows is the chart's own, also where it ends outside. */
  drawFrom(event) {
    this.from = this.cross ? this.at(event) : null;
    this.box.setPointerCapture(event.pointerId);
  }

  drawnOver(event) {
    const from = this.from;
    this.from = null;
    if (from === null || from === undefined || !this.cross) return;
    const to = this.at(event);
    if (Math.abs(this.x(to) - this.x(from)) >= LEAST_PIXELS) this.zoom([Math.min(from, to), Math.max(from, to)]);
  }

  /** The instant under the pointer. */
  at(event) {
    const x = event.clientX - this.box.getBoundingClientRect().left;
    const { left, right } = this.inner;
    const share = Math.min(1, Math.max(0, (x - left) / (right - left)));
    return this.first + share * (this.last - this.first);
  }

  draw() {
    const width = this.box.clientWidth;
    if (width === 0 || !this.nowMs) return;
    this.cross = null;
    if (this.points.length < 2) {
      const text = 'Two readings are needed for a line, and there are not two of this time.';
      this.box.replaceChildren(element('p', 'none', text));
      this.box.ariaLabel = text;
      return;
    }
    this.inner = { left: EDGE.left, right: width - EDGE.right, top: EDGE.top, bottom: HEIGHT - EDGE.bottom };
    const oldest = this.spanMs === null ? this.points[0][0] : this.nowMs - this.spanMs;
    [this.first, this.last] = this.window ?? [oldest, this.nowMs];
    this.seen = this.points.filter(([at]) => at >= this.first && at <= this.last);
    this.x = (at) => this.inner.left + ((at - this.first) / (this.last - this.first)) * (this.inner.right - this.inner.left);
    this.cross = svg('g', { class: 'cross', visibility: 'hidden' }, svg('line'), svg('circle', { r: 3.5 }));
    const open = this.scale(1, 0.004);
    const parts = [...this.times(), ...this.labels(open, 'left'), ...this.line(1, open, 'oi', true)];
    const priced = this.seen.filter((point) => point[2] !== null);
    if (priced.length > 1) {
      const price = this.scale(2, 0.004);
      parts.push(...this.labels(price, 'right'), ...this.line(2, price, 'price'));
    }
    this.y = open.y;
    this.box.replaceChildren(svg('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT }, ...parts, ...this.marks(), this.cross));
    this.box.ariaLabel = this.summary();
  }

  scale(field, least) {
    const values = (this.seen.length > 0 ? this.seen : this.points).map((point) => point[field]).filter((value) => value !== null);
    const [low, high] = extent(values, least);
    const { top, bottom } = this.inner;
    return { low, high, y: (value) => bottom - ((value - low) / (high - low)) * (bottom - top) };
  }

  line(field, { y }, name, ground = false) {
    const known = this.seen.filter((point) => point[field] !== null);
    const hole = (a, b) => (a[3] || b[3] ? Math.max(this.holeMs, TOLD_HOLE_MS) : this.holeMs);
    const runs = withHoles(known, hole).map((point) => point && [this.x(point[0]), y(point[field])]);
    const made = svg('path', { class: name, d: path(runs) });
    if (!ground) return [made];
    const { bottom } = this.inner;
    const filled = split(runs).map((run) => `${path(run)}V${bottom}H${run[0][0]}Z`);
    return [svg('path', { class: 'ground', d: filled.join('') }), made];
  }

  labels({ low, high, y }, side) {
    const [at, anchor] = side === 'left' ? [this.inner.left - 6, 'end'] : [this.inner.right + 6, 'start'];
    const values = ticks(low, high, 5);
    return values.flatMap((value) => {
      const text = side === 'left' ? contracts.format(value) : tickText(value, values[1] - values[0] || value);
      const label = svg('text', { x: at, y: y(value) + 4, 'text-anchor': anchor }, text);
      if (side === 'right') return [label];
      return [svg('line', { class: 'grid', x1: this.inner.left, x2: this.inner.right, y1: y(value), y2: y(value) }), label];
    });
  }

  times() {
    const found = [];
    const every = TICKS_MS.find((step) => (this.last - this.first) / step <= MOST_TICKS) ?? TICKS_MS.at(-1);
    const zoneMs = new Date(this.last).getTimezoneOffset() * MINUTE_MS; // days begin at the reader's midnight
    for (let at = Math.ceil((this.first - zoneMs) / every) * every + zoneMs; at <= this.last; at += every) {
      const x = this.x(at);
      const text = every >= DAY_MS ? day.format(at) : minute(at);
      if (x > this.inner.left + 12) found.push(svg('text', { x, y: HEIGHT - 6, 'text-anchor': 'middle' }, text));
    }
    return found;
  }

  /** A triangle where an alert was told. */
  marks() {
    return this.alerts.flatMap((alert) => {
      const at = new Date(alert.timestamp).getTime();
      const here = this.points[nearest(this.points, at)];
      if (!(this.x(at) >= this.inner.left && this.x(at) <= this.inner.right) || Math.abs(here[0] - at) > this.holeMs) return [];
      const [x, y, up] = [this.x(at), this.y(here[1]), alert.direction === 'UP' ? 1 : -1];
      return [svg('path', { class: up > 0 ? 'alert up' : 'alert down', d: `M${x} ${y + 5 * up}l5 ${8 * up}h-10z` })];
    });
  }

  summary() {
    const values = this.points.map(([, value]) => value);
    const [first, last] = [this.points[0], this.points.at(-1)];
    const [low, high] = [Math.min(...values), Math.max(...values)].map(format.contracts);
    const from = `${format.contracts(first[1])} at ${minute(first[0])}`;
    return `Open interest in contracts: ${from}, ${format.contracts(last[1])} at ${minute(last[0])}, lowest ${low}, highest ${high}`;
  }

  point(event) {
    if (!this.cross) return;
    this.pick(nearest(this.points, this.at(event)));
  }

  step(event) {
    if (this.cross && '+-0'.includes(event.key)) this.zoom(this.nearer(event.key));
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || !this.cross) return;
    event.preventDefault();
    const [first, last] = [this.points.indexOf(this.seen[0]), this.points.indexOf(this.seen.at(-1))];
    const from = this.picked < 0 ? last + 1 : this.picked;
    this.pick(Math.min(last, Math.max(first, from + by)));
  }

  /** Half of what is seen around the picked point, or its newest; for - twice as much; for 0 all. */
  nearer(key) {
    if (key === '0' || (key === '-' && this.window === null)) return null;
    const half = ((this.last - this.first) / 4) * (key === '+' ? 1 : 4);
    const middle = (this.points[this.picked] ?? this.seen.at(-1))?.[0] ?? this.last;
    const to = Math.min(this.nowMs, middle + half);
    return key === '-' && this.spanMs !== null && 2 * half >= this.spanMs ? null : [to - 2 * half, to];
  }

  /** Reads one point out; the newest when none is picked. */
  pick(index) {
    this.picked = index;
    const point = this.points.at(index);
    const words = point ? [format.clock(point[0], this.nowMs), `${format.contracts(point[1])} contracts`, `$${format.price(point[2])}`] : [];
    if (point?.[3]) words.push('as the exchange tells it');
    this.reading.textContent = words.join('  ·  ');
    if (!this.cross) return;
    this.cross.setAttribute('visibility', index < 0 ? 'hidden' : 'visible');
    if (index < 0) return;
    const [x, y] = [this.x(point[0]), this.y(point[1])];
    const [line, circle] = this.cross.children;
    for (const [name, value] of Object.entries({ x1: x, x2: x, y1: this.inner.top, y2: this.inner.bottom })) line.setAttribute(name, value);
    circle.setAttribute('cx', x);
    circle.setAttribute('cy', y);
  }
}

/** Runs between the nulls. */
function split(runs) {
  const found = [[]];
  for (const point of runs) {
    if (point === null) found.push([]);
    else found.at(-1).push(point);
  }
  return found.filter((run) => run.length > 1);
}
