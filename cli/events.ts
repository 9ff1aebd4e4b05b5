/** `trapline events`: the events of a trace or a recording, one a line, as they come. */
import { type Listed, listed } from '../analyzer/listing.js';
import { vcpuNumber } from '../analyzer/profile/lane-names.js';
import { printable } from '../engine/errors.js';
import { EVENT_KINDS } from '../engine/observer.js';
import { TRACEPOINTS } from '../recorder/import/kvm/table.js';
import { TABLES } from '../traces/schema.js';
import type { Chunk } from '../traces/store.js';
import { type Call, type Command, EXIT } from './command.js';
import { CliError } from './errors.js';
import { feed, type Names } from './feed.js';
import { toJsonLine } from './json.js';
import type { Output } from './output.js';

const READING = { columns: TABLES.event.columns.map(({ name }) => name), brief: false } as const;
const NS = 1_000_000_000n;
const TIME = /^(\d{1,12})(?:\.(\d{1,9}))?$/;
const SEQS = /^(\d{1,15})-(\d{1,15})$/;

/** Bytes that a pipe takes whole or not at all, pipe(7): only then is it known at once that nobody reads any more. */
const PIPE_BUF = 4096;

/** Ends the reading of a file of which enough was seen. */
class Enough extends Error {}

const NONE = 'none of its events is as asked for';

type Keeps = (event: Listed) => boolean;

const namesOf = (call: Call): string[] =>
  call.values('kind').flatMap((text) => text.split(',').map((name) => name.trim()));

const isKnown = (name: string): boolean => Object.hasOwn(EVENT_KINDS, name) || Object.hasOwn(TRACEPOINTS, name);

/** By kind, or by what the kernel calls it. */
function keepsNames(wanted: readonly string[]): Keeps {
  if (wanted.length === 0) return () => true;
  const kinds = new Set<string>();
  const names = new Set<string>();
  for (const name of wanted) {
    const tracepoint = Object.hasOwn(TRACEPOINTS, name) ? TRACEPOINTS[name] : undefined;
    if (Object.hasOwn(EVENT_KINDS, name)) kinds.add(name);
    else if (tracepoint === undefined || tracepoint.shared) names.add(name);
    else kinds.add(tracepoint.kind);
  }
  return ({ kind, name }) => kinds.has(kind) || names.has(name);
}

/** A time as it is printed: seconds of a host, ticks or cycles elsewhere. */
function keepsTimes(call: Call): Keeps {
  const [from, to] = (['from', 'to'] as const).map((name) => {
    const text = call.value(name);
    const [, whole, fraction] = TIME.exec(text ?? '') ?? [];
    if (text === null) return null;
    if (whole === undefined)
      throw new CliError('BAD_VALUE', `events --${name} ${text}`, 'a time as it is printed is meant');
    return { tick: BigInt(whole), time: BigInt(whole) * NS + BigInt((fraction ?? '').padEnd(9, '0')), fraction };
  });
  if (!from && !to) return () => true;
  if (from && to && from.time > to.time) {
    const asked = `events --from ${call.value('from')} --to ${call.value('to')}`;
    throw new CliError('BAD_VALUE', asked, 'the end comes before the beginning');
  }
  return ({ tick, time }) => {
    const at = tick ?? time;
    if (at === null) return false;
    const unit = tick === null ? 'time' : 'tick';
    return (!from || at >= from[unit]) && (!to || at <= to[unit]);
  };
}

function seqsOf(call: Call): readonly [number, number] {
  const text = call.value('seq');
  if (text === null) return [0, Number.POSITIVE_INFINITY];
  const [, from, to] = SEQS.exec(text) ?? [];
  if (from === undefined || to === undefined || Number(from) > Number(to)) {
    throw new CliError('BAD_VALUE', `events --seq ${text}`, 'two numbers of events, as 430-460, are meant');
  }
  return [Number(from), Number(to)];
}

const timeText = ({ tick, time }: Listed): string => {
  if (tick !== null || time === null) return tick === null ? '-' : String(tick);
  const ns = time < 0n ? -time : time;
  return `${time < 0n ? '-' : ''}${ns / NS}.${String(ns % NS).padStart(9, '0')}`;
};

const levelText = ({ from, to }: Listed): string => {
  const known = [from, to].flatMap((level) => (level === null ? [] : [`L${level}`]));
  return known.length === 0 ? '-' : known.join('>');
};

const quote = (value: string): string => (/[\s"]/.test(value) ? JSON.stringify(value) : value);

/** Least widths of the columns before the values; names of threads make theirs wider as they come. */
class Lines {
  #laneWidth = 0;
  readonly #out: Output;

  constructor(out: Output) {
    this.#out = out;
  }

  of(event: Listed, lane: string): string {
    this.#laneWidth = Math.max(this.#laneWidth, lane.length);
    const name = printable(event.name).padEnd(16);
    const failed = event.kind === 'entry_failed' || event.kind === 'vmfail' || event.kind === 'lost';
    return [
      this.#out.paint('dim', String(event.seq).padStart(7)),
      timeText(event).padStart(16),
      lane.padEnd(this.#laneWidth),
      levelText(event).padEnd(5),
      this.#out.paint(failed ? 'red' : 'bold', name),
      printable([...event.values.map(([key, value]) => `${key}=${quote(value)}`), event.text ?? ''].join(' ')),
    ]
      .join('  ')
      .trimEnd();
  }
}

const jsonOf = (event: Listed, lane: string): string => {
  const { seq, tick, kind, name, from, to, values, text } = event;
  const at = tick === null ? { time: event.time === null ? null : timeText(event) } : { tick };
  return toJsonLine({
    seq,
    ...at,
    vcpu: event.lane,
    lane,
    from,
    to,
    kind,
    name,
    values: Object.fromEntries(values),
    text,
  });
};

function run(call: Call): number {
  const { out } = call;
  const [file = '-'] = call.args;
  const names = namesOf(call);
  const [keepsName, keepsTime, [firstSeq, lastSeq]] = [keepsNames(names), keepsTimes(call), seqsOf(call)];
  const vcpu = call.integer('vcpu', 0, 0xffff_ffff);
  let left = call.integer('limit', 1, Number.MAX_SAFE_INTEGER) ?? Number.POSITIVE_INFINITY;
  let none = true;
  const lines = new Lines(out);
  const lay = call.flag('json') ? jsonOf : (event: Listed, lane: string): string => lines.of(event, printable(lane));
  const print = (lines: string[]): void => {
    if (lines.length > 0) out.line(lines.splice(0).join('\n'));
    if (out.unread) throw new Enough();
  };
  const take = (chunk: Chunk, { nameOf, saysOf }: Names): void => {
    if (chunk.first + chunk.rows <= firstSeq) return;
    const printed: string[] = [];
    let size = 0;
    for (let i = Math.max(0, firstSeq - chunk.first); i < chunk.rows && chunk.first + i <= lastSeq && left > 0; i++) {
      const event = listed(chunk.row(i), nameOf, saysOf);
      if (!keepsName(event) || !keepsTime(event)) continue;
      if (vcpu !== null && (vcpuNumber(event.lane, saysOf) ?? event.lane) !== vcpu) continue;
      const line = lay(event, nameOf('vcpu', BigInt(event.lane)) ?? `vCPU ${event.lane}`);
      if (size + line.length >= PIPE_BUF) {
        print(printed);
        size = 0;
      }
      printed.push(line);
      size += line.length + 1;
      left -= 1;
      none = false;
    }
    print(printed);
    if (left === 0 || chunk.first + chunk.rows > lastSeq) throw new Enough();
  };
  try {
    const { whole } = feed(file, READING, take, out);
    const strange = none ? names.find((name) => !isKnown(name)) : undefined;
    if (strange !== undefined) throw new CliError('BAD_VALUE', `events --kind ${strange}`, 'no event has that name');
    if (none) out.note(NONE);
    return whole ? EXIT.holds : EXIT.wrong;
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
    if (none) out.note(NONE);
    return EXIT.holds;
  }
}

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'a trace, or a file that `trapline import` understands; - reads standard input' }],
  options: [
    {
      name: 'kind',
      value: 'NAME,...',
      repeats: true,
      says: 'events of this kind alone, such as exit or io, or of this tracepoint, such as kvm_fpu; may be given again',
    },
    { name: 'vcpu', value: 'N', says: 'this vCPU alone, of every VM' },
    { name: 'from', value: 'TIME', says: 'from this time on, as it is printed: seconds of a host, or ticks' },
    { name: 'to', value: 'TIME', says: 'up to this time' },
    { name: 'seq', value: 'A-B', says: 'events of these numbers, as `diff` and `query` name them' },
    { name: 'limit', value: 'N', says: 'so many events at the most' },
    { name: 'json', says: 'print a JSON document a line instead' },
  ],
  details: [
    'A line has the number of the event, its time (seconds of the host, or ticks of the deterministic machine), its vCPU ' +
      'or thread, the levels that it leaves and goes to, its name, and its values. Columns stand two spaces or more apart. ' +
      'An event whose kind others share has the name of its tracepoint, and values by the names of its fields; what no ' +
      'column holds stands behind them as the source has it. `query` has the numbers themselves.',
    'Lines are written as the file is read, however long it is. Columns of `event` in docs/query.md say what each value is.',
  ],
  json: {
    seq: 'number of the event',
    time: 'seconds of the host, as text; null where the source has no times',
    tick: 'instead of time: ticks of our machine, or cycles, as a hex string',
    vcpu: 'number of the lane',
    lane: 'name of the vCPU or thread',
    from: 'level that was running, or null',
    to: 'level that runs next, or null',
    kind: 'kind of the event',
    name: 'its name: that of the tracepoint where others share the kind',
    values: 'its values by name, as they are printed',
    text: 'fields of the source that have no value of their own, or null',
  },
  examples: [
    { line: 'trapline events trace.dat --kind exit,io', says: 'exits and port accesses of a recording' },
    { line: 'trapline events kvm.arrow --vcpu 1 --from 5.958 --to 5.959', says: 'a millisecond of a vCPU' },
    { line: 'trapline events run.sqlite --seq 430-460', says: 'what is around event 437' },
    {
      line: 'trapline events run.sqlite --kind exit --json | jq .values.reason',
      says: 'for programs',
    },
  ],
  run,
};
