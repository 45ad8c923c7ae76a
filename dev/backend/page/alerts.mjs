// The alerts panel: newest first. A click on a symbol opens it.

import { button, element, say } from './dom.mjs';
import * as format from './format.mjs';

const SHOWN = 50;

/** One alert as a list item; `onSymbol` is what its symbol does, none where it is known anyway. */
export function item(alert, nowMs, onSymbol) {
  const up = alert.direction === 'UP';
  const head = onSymbol ? button('symbol', () => onSymbol(alert.symbol), alert.symbol) : element('span', 'dim', alert.timeframe ?? format.MISSING);
  const change = element('span', up ? 'change up' : 'change down', `${up ? '▲' : '▼'} ${format.percent(alert.pctChange, 2)}`);
  const when = element('time', '');
  when.dataset.ms = new Date(alert.timestamp).getTime();
  const detail = element('span', '', `${format.contracts(alert.baseline)} → ${format.contracts(alert.current)}`);
  const told = element('span', '', onSymbol ? `${alert.timeframe ?? format.MISSING} · ` : '', when);
  const made = element('li', '', element('div', 'line', head, change), element('div', 'line dim', detail, told));
  tick(made, nowMs);
  return made;
}

/** Ages go on. */
export function tick(list, nowMs) {
  for (const when of list.querySelectorAll('time')) say(when, `${format.roughAge(nowMs - Number(when.dataset.ms))} ago`);
}

export class Alerts {
  constructor(panel, counters, onSymbol) {
    this.list = panel.querySelector('ol');
    this.none = panel.querySelector('.none');
    this.counters = counters;
    this.onSymbol = onSymbol;
    this.known = []; // newest first
  }

  /** `alerts`: newest first. */
  replace(alerts, nowMs) {
    this.known = alerts;
    this.list.replaceChildren(...alerts.map((alert) => item(alert, nowMs, this.onSymbol)));
    this.refresh(nowMs);
  }

  add(alert, nowMs) {
    this.known = [alert, ...this.known].slice(0, SHOWN);
    this.list.prepend(item(alert, nowMs, this.onSymbol));
    while (this.list.childElementCount > SHOWN) this.list.lastElementChild.remove();
    this.refresh(nowMs);
  }

  of(symbol) {
    return this.known.filter((alert) => alert.symbol === symbol);
  }

  refresh(nowMs) {
    const count = this.known.length;
    this.list.hidden = count === 0;
    this.none.hidden = count > 0;
    for (const counter of this.counters) say(counter, count === 0 ? '' : String(count));
    tick(this.list, nowMs);
  }
}
