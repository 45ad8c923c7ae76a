// Which faults are set, and which of them the next request meets. What a fault does on the wire stands in trouble.mjs.
//
// stage "with":    changes how a request is handled; any number of them apply at once
// stage "instead": answers in place of the backend, which does no work
// stage "after":   the backend does its work, and the answer goes wrong

export class ControlError extends Error {}

const ROUTES = ['ingest', 'read', 'universe', 'alerts', 'any'];

const numberIn = (low, high) => (value) => typeof value === 'number' && value >= low && value <= high;
const flag = (value) => typeof value === 'boolean';
const text = (value) => typeof value === 'string' && value !== '';
const numbers = (value) =>
  value !== null && typeof value === 'object' && !Array.isArray(value) && Object.values(value).every(Number.isFinite);
const httpError = numberIn(400, 599);

// field: [default, check]; a default of undefined that has to be given is marked `required`.
const KINDS = {
  slow: { stage: 'with', fields: { delay: [10, numberIn(0, 3600)] } },
  lost: { stage: 'with', fields: {} },
  'second-writer': { stage: 'with', fields: { values: [undefined, numbers, 'required'] } },
  'wrong-value': { stage: 'with', route: 'read', fields: { symbols: [undefined, numbers, 'required'] } },
  status: { stage: 'instead', fields: { status: [500, httpError], html: [undefined, flag], retryAfter: [undefined, (v) => text(v) || numberIn(0, 86_400)(v)], mitigated: [undefined, text] } },
  redirect: { stage: 'instead', fields: { status: [307, numberIn(301, 308)], location: [undefined, text, 'required'] } },
  hang: { stage: 'instead', fields: {} },
  'reset-answering': { stage: 'after', fields: {} },
  'processed-then-hang': { stage: 'after', fields: {} },
};

const COMMON = {
  route: [undefined, (value) => ROUTES.includes(value)],
  method: [undefined, (value) => value === 'GET' || value === 'POST'],
  times: [undefined, (value) => Number.isInteger(value) && value > 0],
  seconds: [undefined, numberIn(0, 86_400)],
  after: [0, (value) => Number.isInteger(value) && value >= 0],
};

export function parseFault(given) {
  if (given === null || typeof given !== 'object') throw new ControlError('a fault is an object');
  const kind = Object.hasOwn(KINDS, given.kind) && KINDS[given.kind];
  if (!kind) throw new ControlError(`kind ${JSON.stringify(given.kind)}: one of ${Object.keys(KINDS).join(', ')}`);
  const fields = { ...COMMON, route: [kind.route ?? 'ingest', COMMON.route[1]], ...kind.fields };
  for (const name of Object.keys(given)) {
    if (name !== 'kind' && !Object.hasOwn(fields, name)) throw new ControlError(`fault ${given.kind} has no ${name}`);
  }
  const fault = { kind: given.kind, stage: kind.stage };
  for (const [name, [fallback, check, required]] of Object.entries(fields)) {
    fault[name] = field(given, name, fallback, check, required);
  }
  return fault;
}

function field(given, name, fallback, check, required) {
  const value = given[name] ?? fallback;
  if (value === undefined ? required : !check(value)) {
    throw new ControlError(`fault ${given.kind}: ${name}=${JSON.stringify(given[name])} makes no sense`);
  }
  return value;
}

export class Faults {
  constructor() {
    this.list = [];
  }

  set(faults) {
    this.list = [];
    for (const fault of faults) this.add(fault);
  }

  add(fault) {
    const until = fault.seconds === undefined ? Infinity : Date.now() + fault.seconds * 1000;
    this.list.push({ ...fault, until, met: 0, played: 0 });
  }

  live() {
    this.list = this.list.filter((fault) => Date.now() < fault.until && fault.played < (fault.times ?? Infinity));
    return this.list;
  }

  /** The faults this request meets, each counted as played: all of stage "with", and the first of the others. */
  take(route, method) {
    const met = this.live().filter(
      (fault) => [route, 'any'].includes(fault.route) && (!fault.method || fault.method === method) && fault.met++ >= fault.after,
    );
    const ending = met.find((fault) => fault.stage !== 'with');
    const taken = met.filter((fault) => fault.stage === 'with' || fault === ending);
    for (const fault of taken) fault.played += 1;
    return { ending, all: taken, of: (kind) => taken.find((fault) => fault.kind === kind) };
  }

  /** Symbol -> factor of the wrong values that are being served now; nothing is counted as played. */
  factors(faults = this.live()) {
    return new Map(faults.filter((fault) => fault.kind === 'wrong-value').flatMap((fault) => Object.entries(fault.symbols)));
  }

  view() {
    return this.live().map(({ stage, until, met, ...fault }) => fault);
  }
}
