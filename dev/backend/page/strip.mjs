// The pipeline strip: a button a hop, green, amber or red with its age; what is the matter shows on hover, focus or tap.

import { button, element, order, say, set } from './dom.mjs';
import { age } from './format.mjs';

export class Strip {
  constructor(list, tip) {
    this.list = list;
    this.tip = tip;
    this.items = new Map();
    this.absent = element('li', 'absent', 'services not connected');
    this.shown = null; // the hop whose words are open
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && this.shown) this.close();
    });
    document.addEventListener('pointerdown', (event) => {
      if (!this.list.contains(event.target)) this.close();
    });
  }

  /** `path` and `beside`: hops as `strip` of pipeline.mjs makes them. */
  update([path, beside], known) {
    const hops = [...path, ...beside];
    for (const [name, item] of this.items) if (!hops.some((hop) => hop.name === name)) this.remove(name, item);
    const items = hops.map((hop) => this.item(hop, beside.includes(hop)));
    order(this.list, known ? items : [...items, this.absent]);
    if (known) this.absent.remove();
  }

  remove(name, item) {
    item.remove();
    this.items.delete(name);
  }

  item(hop, aside) {
    if (!this.items.has(hop.name)) this.items.set(hop.name, this.made(hop.name));
    const item = this.items.get(hop.name);
    item.classList.toggle('aside', aside);
    item.said = hop.text;
    set(item, 'data-level', hop.level);
    say(item.querySelector('.label'), hop.label);
    say(item.querySelector('.age'), age(hop.ageMs));
    set(item.firstChild, 'aria-label', hop.text.replaceAll('\n', '. '));
    if (this.shown === item) say(this.tip, hop.text);
    return item;
  }

  made(name) {
    const item = element('li', '');
    item.dataset.hop = name;
    const inside = [element('i', 'dot'), element('span', 'label'), element('span', 'age')];
    const opener = button('', () => this.open(item), ...inside);
    opener.onfocus = opener.onpointerenter = () => this.open(item);
    opener.onblur = opener.onpointerleave = () => this.close();
    item.append(opener);
    return item;
  }

  open(item) {
    this.shown = item;
    this.tip.hidden = false;
    say(this.tip, item.said);
    this.tip.dataset.level = item.dataset.level;
    const box = item.getBoundingClientRect();
    const left = Math.min(box.left, document.documentElement.clientWidth - this.tip.offsetWidth - 8);
    this.tip.style.left = `${Math.max(8, left)}px`;
    this.tip.style.top = `${box.bottom + 4}px`;
  }

  close() {
    this.shown = null;
    this.tip.hidden = true;
  }
}
