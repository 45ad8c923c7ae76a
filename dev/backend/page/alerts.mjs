// The alerts panel: newest first, gone when there are none. A click on a symbol looks it up in the table.

import * as format from './format.mjs';

const SHOWN = 50;

const element = (name, className, ...content) => {
  const made = Object.assign(document.createElement(name), { className });
  made.append(...content);
  return made;
};

export class Alerts {
  constructor(panel, onSymbol) {
    this.panel = panel;
    this.list = panel.querySelector('ol');
    this.count = panel.querySelector('.count');
    this.onSymbol = onSymbol;
  }

  /** `alerts`: newest first. */
  replace(alerts, nowMs) {
    this.list.replaceChildren(...alerts.map((alert) => this.item(alert)));
    this.refresh(nowMs);
  }

  add(alert, nowMs) {
    this.list.prepend(this.item(alert));
    while (this.list.childElementCount > SHOWN) this.list.lastElementChild.remove();
    this.refresh(nowMs);
  }

  item(alert) {
    const up = alert.direction === 'UP';
    const symbol = Object.assign(element('button', 'symbol', alert.symbol), { type: 'button' });
    symbol.onclick = () => this.onSymbol(alert.symbol);
    const change = element('span', up ? 'change up' : 'change down', `${up ? '▲' : '▼'} ${format.percent(alert.pctChange, 2)}`);
    const when = element('time', '');
    when.dataset.ms = new Date(alert.timestamp).getTime();
    const detail = `${format.contracts(alert.baseline)} → ${format.contracts(alert.current)}`;
    return element(
      'li',
      '',
      element('div', 'line', symbol, change),
      element('div', 'line dim', element('span', '', detail), element('span', '', `${alert.timeframe ?? format.MISSING} · `, when)),
    );
  }

  refresh(nowMs) {
    this.panel.hidden = this.list.childElementCount === 0;
    this.count.textContent = this.list.childElementCount;
    for (const when of this.list.querySelectorAll('time')) {
      const text = `${format.roughAge(nowMs - Number(when.dataset.ms))} ago`;
      if (when.textContent !== text) when.textContent = text;
    }
  }
}
