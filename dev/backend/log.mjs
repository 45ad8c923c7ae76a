// What came in, kept for whoever has to prove that each batch came once and in order. Bounded: the oldest goes first.

const BATCHES_KEPT = 10_000;
const ROWS_KEPT = 200_000;

export class BatchLog {
  constructor() {
    this.clear();
  }

  clear() {
    this.batches = [];
    this.rows = new Map(); // batch id -> its rows in the order they were inserted
    this.rowCount = 0;
    this.lastId = 0;
    this.seen = new Map(); // batch timestamp -> symbols stored under it
    this.repeated = 0;
  }

  /** One line for one POST, entered when it arrives and filled in while it is handled. */
  begin(writer = 'post') {
    const entry = {
      id: ++this.lastId,
      writer,
      from: null, // address of the client
      receivedAt: Date.now(),
      answeredAt: null,
      status: null, // HTTP status answered; "hung", "reset" or "gone" (the client left) when there was none
      fault: null,
      bytes: null,
      timestamp: null,
      totalSymbols: null,
      rows: null, // rows that arrived
      skipped: 0, // of these, without a usable number
      stored: 0, // rows in the database
      repeated: 0, // of these, stored before under the same timestamp
      cached: null, // symbols in the cache afterwards; null when it was not touched
    };
    this.batches.push(entry);
    this.trim();
    return entry;
  }

  addRow(entry, row, timestampMs) {
    if (!this.rows.has(entry.id)) this.rows.set(entry.id, []);
    this.rows.get(entry.id).push({ batch: entry.id, timestamp: timestampMs, insertedAt: Date.now(), ...row });
    this.rowCount += 1;
    entry.stored += 1;
    this.countRepeat(entry, row.symbol, timestampMs);
  }

  countRepeat(entry, symbol, timestampMs) {
    if (!this.seen.has(timestampMs)) this.seen.set(timestampMs, new Set());
    const symbols = this.seen.get(timestampMs);
    if (symbols.has(symbol)) {
      entry.repeated += 1;
      this.repeated += 1;
    }
    symbols.add(symbol);
  }

  trim() {
    while (this.batches.length > BATCHES_KEPT) this.batches.shift();
    // The batch that is being written stays whole, however large it is.
    while (this.rowCount > ROWS_KEPT && this.rows.size > 1) {
      const [oldest, rows] = this.rows.entries().next().value;
      this.rows.delete(oldest);
      this.rowCount -= rows.length;
    }
    while (this.seen.size > BATCHES_KEPT) this.seen.delete(this.seen.keys().next().value);
  }

  since(id) {
    return this.batches.filter((entry) => entry.id > id);
  }

  /** Rows in the order they were inserted batch by batch; of one symbol when it is named. */
  rowsOf(symbol, limit) {
    const all = [...this.rows.values()].flat();
    return (symbol ? all.filter((row) => row.symbol === symbol) : all).slice(-limit);
  }
}
