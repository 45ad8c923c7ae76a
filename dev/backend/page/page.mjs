// Wires the page: events from the server into the book, the book into the table, the tiles and the header.

import { Alerts } from './alerts.mjs';
import { columns } from './columns.mjs';
import { $, say, set } from './dom.mjs';
import { Drawer } from './drawer.mjs';
import * as format from './format.mjs';
import { Book, verdict } from './model.mjs';
import { Movers } from './movers.mjs';
import { strip } from './pipeline.mjs';
import { Strip } from './strip.mjs';
import { lacking, members } from './venues.mjs';
import { Table, changeClass } from './table.mjs';

// The server says something every 2 s; after this long the line is dead even if nobody closed it.
const SILENCE_MS = 8_000;

const all = (selector) => [...document.querySelectorAll(selector)];
const open = (symbol) => drawer.open(symbol);

const book = new Book();
const table = new Table($('table'), $('scroller'), open, (symbol) => members(book.venues, symbol, now()));
const alerts = new Alerts($('alerts'), all('#alerts .count, #views .count'), open);
const movers = new Movers($('movers'), open);
const pipeline = new Strip($('strip').firstElementChild, $('tip'));
const drawer = new Drawer($('drawer'), () => ({ book, alerts, nowMs: now() }));

let clockOffsetMs = 0; // the server's clock minus ours
let lastHeardMs = null;
let connected = false;
let hops = [];

const now = () => Date.now() + clockOffsetMs;

function filterBy(text) {
  $('filter').value = text;
  table.filterBy(text);
  table.tick(now());
  writeCount();
}

function writeCount() {
  const [shown, known] = [table.shown.length, table.lines.size];
  say($('count'), table.filter ? `${shown} of ${known}` : `${known} symbols`);
  $('count').hidden = known === 0;
  $('empty').hidden = shown > 0;
  if (known === 0) say($('empty'), 'No values yet. They appear with the first batch.');
  else say($('empty'), `No symbol contains “${$('filter').value}”.`);
}

function writeHeader() {
  const counts = book.summary(now());
  const [level, text] = verdict(book, counts, { connected, nowMs: now(), hops });
  const age = book.batchMs === null ? null : now() - book.batchMs;
  $('status').dataset.level = level;
  say($('status-text'), text); // announced to a screen reader, so written only when it changes
  say($('total'), format.usd(counts.total));
  say($('total-note'), book.batchMs === null ? 'no batch yet' : `at ${format.clock(book.batchMs, now())}`);
  say($('served'), book.batchMs === null ? format.MISSING : String(counts.served));
  say($('served-note'), universeNote(counts));
  say($('batch'), format.age(age));
  say($('batch-note'), age === null ? '' : 'ago');
  $('batch').dataset.level = format.ageLevel(age);
  document.body.dataset.level = level;
  document.title = level === 'good' ? `${format.usd(counts.total)} open interest` : `${text} – open interest`;
  writeChanges(counts.total);
  writeVenues(counts.total);
}

/** The column, the figure and the bars are there only where other venues are read. */
function writeVenues(total) {
  document.body.toggleAttribute('data-venues', book.venues !== null);
  $('everywhere').hidden = book.venues === null;
  say($('total-all'), format.usd(book.venues === null || total === null ? null : total + book.venues.others));
  say($('total-all-note'), lacking(book.venues));
  say($('total-label'), book.venues === null ? 'Total open interest' : 'Open interest, Binance');
}

function writeChanges(total) {
  for (const node of $('changes').querySelectorAll('b')) {
    const text = format.percent(connected ? book.totalChange(node.dataset.key, now(), total) : null, 2);
    say(node, text);
    set(node, 'class', changeClass(text));
  }
}

function universeNote({ served, liquid, ghost }) {
  if (!book.universeKnown) return 'universe unknown';
  return ghost > 0 ? `${served - ghost} of ${liquid} liquid` : `of ${liquid} liquid`;
}

function writeStrip() {
  const heardMs = lastHeardMs === null ? null : lastHeardMs + clockOffsetMs;
  pipeline.update(strip(hops, { batchMs: book.batchMs, heardMs, connected, nowMs: now() }), hops.length > 0);
}

function redraw() {
  table.update(book, now());
  movers.update(book, now());
  drawer.update();
  writeCount();
  writeHeader();
  writeStrip();
}

const HANDLERS = {
  snapshot(event) {
    book.snapshot(event);
    hops = event.hops;
    alerts.replace(event.alerts, now());
    redraw();
  },
  batch(event) {
    book.batch(event);
    redraw();
  },
  universe(event) {
    book.universe(event);
    redraw();
  },
  sparks(event) {
    book.sparks(event.sparks);
    table.update(book, now());
  },
  alert(event) {
    alerts.add(event, now());
    drawer.update();
  },
  venues({ venues }) {
    book.overVenues(venues);
    table.update(book, now());
    drawer.update();
    writeHeader();
  },
  past({ past }) {
    book.overLong(past);
    table.update(book, now());
    drawer.update();
    writeHeader();
  },
  tick(event) {
    hops = event.hops;
    writeStrip();
  },
};

function listen() {
  const source = new EventSource('events');
  for (const [name, handle] of Object.entries(HANDLERS)) {
    source.addEventListener(name, ({ data }) => {
      const event = JSON.parse(data);
      lastHeardMs = Date.now();
      clockOffsetMs = event.now - lastHeardMs;
      connected = true;
      handle(event);
    });
  }
  source.onerror = () => {
    lost(source);
  };
  return source;
}

function lost(source) {
  connected = false;
  writeHeader();
  writeStrip();
  // After a bad answer the browser gives up for good; start anew then.
  if (source.readyState === EventSource.CLOSED) setTimeout(() => (line = listen()), 2000);
}

columns($('columns'));
let line = listen();

function everySecond() {
  if (connected && Date.now() - lastHeardMs > SILENCE_MS) {
    line.close();
    lost(line);
  }
  if ([book.expireVenues(now()), book.expirePast(now())].includes(true)) redraw();
  table.tick(now());
  movers.update(book, now()); // what grew too old is no move
  alerts.refresh(now());
  drawer.tick();
  writeHeader();
  writeStrip();
}

function showTheme() {
  const chosen = document.documentElement.dataset.theme;
  const light = chosen ? chosen === 'light' : matchMedia('(prefers-color-scheme: light)').matches;
  set($('theme'), 'aria-pressed', String(light));
  return light;
}

$('theme').onclick = () => {
  const theme = showTheme() ? 'dark' : 'light';
  document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem('theme', theme);
  } catch {
    // no storage here: the choice lasts as long as the page
  }
  showTheme();
};

/** On a narrow screen one part of the page is shown at a time. */
for (const chooser of all('#views button')) {
  chooser.onclick = () => {
    document.body.dataset.view = chooser.dataset.view;
    for (const other of all('#views button')) set(other, 'aria-pressed', String(other === chooser));
  };
}

$('scroller').addEventListener('scroll', () => table.tick(now()), { passive: true });
$('filter').addEventListener('input', () => filterBy($('filter').value));
document.addEventListener('keydown', (event) => {
  if ($('drawer').open) return;
  if (event.key === '/' && document.activeElement !== $('filter')) {
    event.preventDefault();
    $('filter').focus();
  }
  if (event.key === 'Escape' && document.activeElement === $('filter')) filterBy('');
});
setInterval(everySecond, 1000);
showTheme();
writeCount();
writeStrip();
