// Which changes the table shows: chosen by the reader, remembered by the browser.

import { element } from './dom.mjs';

export const CHOICES = { d5: '5 m', d15: '15 m', d60: '1 h', d240: '4 h', d1440: '24 h', d10080: '7 d' };
const AT_FIRST = ['d5', 'd60', 'd1440'];
const MANY = 4; // from so many on, other columns make room
const REMEMBERED = 'columns';

/** What was remembered, as keys; what it was at first where that is no list of them. Pure. */
export function remembered(text) {
  let kept;
  try {
    kept = JSON.parse(text);
  } catch {
    return AT_FIRST;
  }
  return Array.isArray(kept) ? Object.keys(CHOICES).filter((key) => kept.includes(key)) : AT_FIRST;
}

function read() {
  try {
    return remembered(localStorage.getItem(REMEMBERED) ?? '');
  } catch {
    return AT_FIRST; // no storage here
  }
}

function keep(keys) {
  try {
    localStorage.setItem(REMEMBERED, JSON.stringify(keys));
  } catch {
    // the choice lasts as long as the page
  }
}

/** A menu that is left open would hide what it is about. */
function closes(chooser) {
  document.addEventListener('click', ({ target }) => {
    if (!chooser.contains(target)) chooser.open = false;
  });
  chooser.addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape' || !chooser.open) return;
    chooser.open = false;
    chooser.querySelector('summary').focus();
  });
}

/** Fills the menu, and shows the columns that are chosen in it. */
export function columns(menu) {
  const shown = new Set(read());
  const show = () => {
    for (const key of Object.keys(CHOICES)) document.body.toggleAttribute(`data-no-${key}`, !shown.has(key));
    document.body.toggleAttribute('data-many', shown.size >= MANY);
  };
  for (const [key, name] of Object.entries(CHOICES)) {
    const box = Object.assign(element('input'), { type: 'checkbox', checked: shown.has(key) });
    box.onchange = () => {
      if (box.checked) shown.add(key);
      else shown.delete(key);
      keep(Object.keys(CHOICES).filter((one) => shown.has(one)));
      show();
    };
    menu.append(element('label', '', box, `Δ ${name}`));
  }
  show();
  closes(menu.closest('details'));
}
