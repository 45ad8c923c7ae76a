// Wires the page: events from the server into the book, the book into the table and the header.

import { Alerts } from './alerts.mjs';
import * as format from './format.mjs';
import { Book, verdict } from './model.mjs';
import { Table } from './table.mjs';

// The server says something every 2 s; after this long the line is dead even if nobody closed it.
const SILENCE_MS = 8_000;

const $ = (id) => document.getElementById(id);
const say = (node, text) => {
  if (node.textContent !== text) node.textContent = text;
};

const book = new Book();
const table = new Table($('table'), $('scroller'));
const alerts = new Alerts($('alerts'), lookUp);

let clockOffsetMs = 0; // the server's clock minus ours
let lastHeardMs = null;
let connected = false;

const now = () => Date.now() + clockOffsetMs;

function lookUp(symbol) {
  $('filter').value = symbol;
  table.filterBy(symbol);
  table.tick(now());
  writeCount();
  $('filter').focus();
}

function writeCount() {
  const [shown, all] = [table.shown.length, table.lines.size];
  say($('count'), table.filter ? `${shown} of ${all}` : `${all} symbols`);
  $('count').hidden = all === 0;
  $('empty').hidden = shown > 0;
  if (all === 0) say($('empty'), 'No values yet. They appear with the first batch.');
  else say($('empty'), `No symbol contains “${$('filter').value}”.`);
}

function writeHeader() {
  const counts = book.summary(now());
  const [level, text] = verdict(book, counts, { connected, nowMs: now() });
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
}

function universeNote({ served, liquid, ghost }) {
  if (!book.universeKnown) return 'universe unknown';
  return ghost > 0 ? `${served - ghost} of ${liquid} liquid` : `of ${liquid} liquid`;
}

function redraw() {
  table.update(book, now());
  writeCount();
  writeHeader();
}

const HANDLERS = {
  snapshot(event) {
    book.snapshot(event);
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
  alert: (event) => alerts.add(event, now()),
  tick: () => {},
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
  // After a bad answer the browser gives up for good; start anew then.
  if (source.readyState === EventSource.CLOSED) setTimeout(() => (line = listen()), 2000);
}

let line = listen();

function everySecond() {
  if (connected && Date.now() - lastHeardMs > SILENCE_MS) {
    line.close();
    lost(line);
  }
  table.tick(now());
  alerts.refresh(now());
  writeHeader();
}

setInterval(everySecond, 1000);
$('scroller').addEventListener('scroll', () => table.tick(now()), { passive: true });
$('filter').addEventListener('input', () => {
  table.filterBy($('filter').value);
  table.tick(now());
  writeCount();
});
document.addEventListener('keydown', (event) => {
  if (event.key === '/' && document.activeElement !== $('filter')) {
    event.preventDefault();
    $('filter').focus();
  }
  if (event.key === 'Escape' && document.activeElement === $('filter')) lookUp('');
});
writeCount();
