/** Records of a binary recording on their way into the trace: what trace.dat and perf.data share. */
import { EVENT_KINDS } from '../../../engine/observer.js';
import type { TraceWriter } from '../../../traces/store.js';
import { Assembly } from '../assembly.js';
import { ImportError } from '../errors.js';
import type { Lane } from '../lanes.js';
import type { ImportOptions, ImportResult } from '../result.js';
import { FIELD } from '../row.js';
import type { EventTaker } from '../sink.js';
import type { ByteSource } from '../source.js';
import { RecordDecoder } from './decoder.js';
import type { EventFormat, Formats } from './formats.js';
import { addBytes } from './ink.js';
import { compile, type Program } from './program.js';

const encoder = new TextEncoder();

export class Intake {
  readonly trace: Assembly;
  readonly decoder: RecordDecoder;
  /** Names of threads, as far as the file has them. */
  readonly commands: Map<number, string>;
  /** vCPU of each thread, where the file says it. */
  readonly vcpus = new Map<number, number>();
  frames = 0;
  /** What has no time counts cycles. */
  cycles = false;
  /** Events may be left out: not where times are by several clocks, as the last of a lane is not the last by each. */
  leavesOut: boolean;
  stopped: ImportError | null = null;
  readonly #programs = new Map<number, Program>();
  /** The programs of small numbers once more, for speed. */
  readonly #few: (Program | undefined)[] = [];
  readonly #isWanted: (kind: number) => boolean;
  readonly #taker: EventTaker | null;
  readonly #isEnded: () => boolean;
  /** Where the record at hand is, for people; whoever reads the records says it. */
  where: () => string = () => '';

  constructor(open: () => TraceWriter, little: boolean, options: ImportOptions, commands = new Map<number, string>()) {
    const { columns, fields = null, brief = false, kinds = null, taker = null, isEnded = () => false } = options;
    this.#isEnded = isEnded;
    this.#isWanted = (kind) => kinds === null || kinds.has(kind);
    this.#taker = taker;
    this.leavesOut = kinds !== null || taker !== null;
    this.trace = new Assembly(open, options);
    this.decoder = new RecordDecoder(little, {
      fields,
      text: !brief && (columns?.includes('text') ?? true),
      vcpus: false,
    });
    this.commands = commands;
  }

  /** The program of an event, compiled when its first record comes. */
  program(id: number, formats: Formats): Program {
    return this.#few[id] ?? this.#programs.get(id) ?? this.#compile(id, formats.get(id) ?? nameless(id));
  }

  /** Whether a record of an event came. */
  isMet(id: number): boolean {
    return this.#few[id] !== undefined || this.#programs.has(id);
  }

  #compile(id: number, format: EventFormat): Program {
    const program = compile(format, (name, fields) => this.trace.nameEvent(name, fields), this.#isWanted);
    if (id < 0x1_0000) {
      while (this.#few.length <= id) this.#few.push(undefined); // an array with holes is a slow one
      this.#few[id] = program;
    } else this.#programs.set(id, program);
    return program;
  }

  /**
   * Takes one record of at least the bytes that its format says; `thread` -1 where it has none, `process` -1 where that is
   * unknown.
   */
  record(
    program: Program,
    view: DataView,
    at: number,
    length: number,
    timeLow: number,
    timeHigh: number,
    hasTime: boolean,
    thread: number,
    process: number,
    cpu: number,
  ): void {
    const { trace, decoder } = this;
    if (program.mute === true && this.#passes(program, timeLow, timeHigh, hasTime, thread) === true) return;
    if (program.nested === true) trace.learnNested(thread);
    if (trace.heldLane !== null) trace.flush();
    const hasTick = this.cycles === true && !hasTime;
    const lane = this.lane(thread, process, cpu);
    if (this.leavesOut === true && program.acts !== true && (hasTime === true || hasTick)) {
      const isPassed =
        this.#isIdle(program, view, at, lane) === true &&
        trace.pass(lane, program.kind, timeLow, timeHigh, hasTick) === true;
      if (isPassed) return;
    }
    const { row } = trace;
    row.clear();
    row.hasTime = hasTime;
    row.hasTick = hasTick;
    row.timeLow = timeLow;
    row.timeHigh = timeHigh;
    decoder.decode(program, view, at, length, trace.sink(), row, lane);
    if (decoder.vcpu >= 0 && lane.vcpu === null) lane.vcpu = decoder.vcpu;
    trace.end(lane);
  }

  /** Passes over a record of a kind that nobody wants; false where it is to be taken as any other. */
  #passes(program: Program, timeLow: number, timeHigh: number, hasTime: boolean, thread: number): boolean {
    if (program.acts === true || this.leavesOut !== true || hasTime !== true) return false;
    const { trace } = this;
    const lane = trace.lanes.known(thread);
    if (lane === undefined || (lane.vcpu === null && program.namesVcpu === true)) return false;
    if (trace.heldLane !== null) trace.flush();
    return trace.pass(lane, program.kind, timeLow, timeHigh, false);
  }

  /** Nobody wants a record, and nothing is to be learnt from it. */
  #isIdle(program: Program, view: DataView, at: number, lane: Lane): boolean {
    if (program.namesVcpu === true && lane.vcpu === null) return false;
    if (program.mute === true) return true;
    const taker = this.#taker;
    return taker !== null && (taker.wants(program.kind, lane.id) === false || this.decoder.repeats(program, view, at));
  }

  /** Takes an event that has no columns, only text. */
  plain(
    code: number,
    text: string,
    { timeLow, timeHigh }: { readonly timeLow: number; readonly timeHigh: number },
    hasTime: boolean,
    thread: number,
    process: number,
    cpu: number,
  ): void {
    this.trace.flush();
    const { row } = this.trace;
    row.clear();
    row.kind = EVENT_KINDS.other;
    row.hasTime = hasTime;
    row.timeLow = timeLow;
    row.timeHigh = timeHigh;
    row.tracepoint = code;
    row.put(FIELD.code, code, 0);
    addBytes(row, encoder.encode(text));
    this.trace.hold(this.lane(thread, process, cpu));
  }

  lane(thread: number, process: number, cpu: number): Lane {
    const { lanes } = this.trace;
    if (thread < 0) return lanes.ofCpu(cpu, this.where);
    return lanes.known(thread) ?? this.#meet(thread, process);
  }

  #meet(thread: number, process: number): Lane {
    const lane = this.trace.lanes.ofThread(thread, process, () => this.#task(thread), this.where);
    lane.vcpu = this.vcpus.get(thread) ?? null;
    return lane;
  }

  #task(thread: number): string {
    return this.commands.get(thread) ?? (thread === 0 ? '<idle>' : '<...>');
  }

  /** Remembers the first thing that is wrong with the file, and goes on. */
  damage(error: ImportError): void {
    if (error.code === 'TRUNCATED' && this.#isEnded()) return; // by who ended the reading
    this.trace.damaged += 1;
    if (this.stopped === null) this.stopped = error;
    else this.trace.notes.add(null, error.message);
  }

  /** Takes an error as the end of reading; false where it is none of the input, or there is nothing to keep. */
  halt(error: unknown): boolean {
    if (!(error instanceof ImportError) || this.trace.events === 0) return false;
    if (this.stopped !== null) this.trace.notes.add(null, this.stopped.message);
    this.stopped = error;
    return true;
  }

  finish(source: ByteSource, format: string): ImportResult {
    this.trace.flush();
    if (this.trace.events === 0) throw this.stopped ?? new ImportError('NO_EVENTS', source.name);
    const { stopped, frames } = this;
    return this.trace.finish({ source: source.name, format, stopped }, { lines: 0, frames });
  }
}

/** An event whose format the file lacks: its bytes are all there is to keep. */
function nameless(id: number): EventFormat {
  const field = { name: 'bytes', type: 'u8', offset: 0, size: 0, signed: false, count: 0, dynamic: null };
  return { system: '', name: `event_${id}`, id, fields: [field], size: 0 };
}
