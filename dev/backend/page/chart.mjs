// The chart of one symbol: open interest as a line with a ground, the mark price as a thin line of its own scale.

import { element, svg } from './dom.mjs';
import * as format from './format.mjs';
import { extent, nearest, path, tickText, ticks, withHoles } from './lines.mjs';

const SPAN_MS = 3 * 3_600_000;
const HOLE_MS = 120_000;
const HALF_HOUR_MS = 1_800_000;
const HEIGHT = 230;
const EDGE = { left: 52, right: 62, top: 8, bottom: 22 };

const contracts = new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 5 });
const minute = (ms) => format.clock(ms, ms).slice(0, 5);

/** `points`: [at, contracts, mark or null], oldest first. `alerts`: newest first. */
export class Chart {
  constructor(box, reading) {
    this.box = box;
    this.reading = reading;
    this.points = [];
    this.box.tabIndex = 0;
    this.box.role = 'img';
    this.box.onpointermove = (event) => this.point(event);
    this.box.onpointerleave = this.box.onblur = () => this.pick(-1);
    this.box.onkeydown = (event) => this.step(event);
    new ResizeObserver(() => this.draw()).observe(box);
  }

  show(points, alerts, nowMs) {
    const last = this.picked >= 0 && this.points[this.picked]?.[0];
    Object.assign(this, { points, alerts, nowMs });
    this.draw();
    this.pick(last ? nearest(points, last) : -1);
  }

  draw() {
    const width = this.box.clientWidth;
    if (width === 0 || !this.nowMs) return;
    this.cross = null;
    if (this.points.length < 2) {
      const text = 'Two readings are needed for a line; history begins when this backend starts.';
      this.box.replaceChildren(element('p', 'none', text));
      this.box.ariaLabel = text;
      return;
    }
    this.inner = { left: EDGE.left, right: width - EDGE.right, top: EDGE.top, bottom: HEIGHT - EDGE.bottom };
    this.x = (at) => this.inner.right - ((this.nowMs - at) / SPAN_MS) * (this.inner.right - this.inner.left);
    this.cross = svg('g', { class: 'cross', visibility: 'hidden' }, svg('line'), svg('circle', { r: 3.5 }));
    const open = this.scale(1, 0.004);
    const parts = [...this.times(), ...this.labels(open, 'left'), ...this.line(1, open, 'oi', true)];
    const priced = this.points.filter((point) => point[2] !== null);
    if (priced.length > 1) {
      const price = this.scale(2, 0.004);
      parts.push(...this.labels(price, 'right'), ...this.line(2, price, 'price'));
    }
    this.y = open.y;
    this.box.replaceChildren(svg('svg', { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT }, ...parts, ...this.marks(), this.cross));
    this.box.ariaLabel = this.summary();
  }

  scale(field, least) {
    const values = this.points.map((point) => point[field]).filter((value) => value !== null);
    const [low, high] = extent(values, least);
    const { top, bottom } = this.inner;
    return { low, high, y: (value) => bottom - ((value - low) / (high - low)) * (bottom - top) };
  }

  line(field, { y }, name, ground = false) {
    const known = this.points.filter((point) => point[field] !== null && this.x(point[0]) >= this.inner.left);
    const runs = withHoles(known, HOLE_MS).map((point) => point && [this.x(point[0]), y(point[field])]);
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
    for (let at = Math.ceil((this.nowMs - SPAN_MS) / HALF_HOUR_MS) * HALF_HOUR_MS; at <= this.nowMs; at += HALF_HOUR_MS) {
      const x = this.x(at);
      if (x > this.inner.left + 12) found.push(svg('text', { x, y: HEIGHT - 6, 'text-anchor': 'middle' }, minute(at)));
    }
    return found;
  }

  /** A triangle where an alert was told. */
  marks() {
    return this.alerts.flatMap((alert) => {
      const at = new Date(alert.timestamp).getTime();
      const here = this.points[nearest(this.points, at)];
      if (!(this.x(at) >= this.inner.left && this.x(at) <= this.inner.right) || Math.abs(here[0] - at) > HOLE_MS) return [];
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
    const { left } = this.box.getBoundingClientRect();
    const share = (event.clientX - left - this.inner.left) / (this.inner.right - this.inner.left);
    this.pick(nearest(this.points, this.nowMs - SPAN_MS * (1 - share)));
  }

  step(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || !this.cross) return;
    event.preventDefault();
    const from = this.picked < 0 ? this.points.length : this.picked;
    this.pick(Math.min(this.points.length - 1, Math.max(0, from + by)));
  }

  /** Reads one point out; the newest when none is picked. */
  pick(index) {
    this.picked = index;
    const point = this.points.at(index);
    const words = point ? [format.clock(point[0], this.nowMs), `${format.contracts(point[1])} contracts`, `$${format.price(point[2])}`] : [];
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
