/**
 * Imports what xentrace writes: for each host CPU in turn a record that names it and says how many bytes follow, then
 * its records (xen/include/public/trace.h, tools/xentrace/xentrace.c). All of it is little-endian.
 */
import { EVENT_KINDS } from '../../../engine/observer.js';
import type { TraceWriter } from '../../../traces/store.js';
import { Assembly } from '../assembly.js';
import { ImportError } from '../errors.js';
import type { Lane } from '../lanes.js';
import { ISA } from '../reasons.js';
import type { ImportOptions, ImportResult } from '../result.js';
import type { ByteSource } from '../source.js';
import { carryOut, type Work } from '../work.js';
import { Clock, scaleOf, TSC } from './clock.js';
import { pipeWindow, type Window } from './window.js';
import { XenDecoder } from './xentrace-decoder.js';
import { CPU_CHANGE, LOST_RECORDS, WRAP_BUFFER } from './xentrace-events.js';
import { isaOfReason } from './xentrace-isa.js';
import { type CpuRecords, eventOf, extraWords, hasCycles, sizeOf, XenQueue } from './xentrace-queue.js';

const FORMAT = 'xentrace';
/** Header of the record that names a CPU, which has two words and no time. */
const CPU_CHANGE_HEADER = 0x2000_0000 + CPU_CHANGE;
const CPU_CHANGE_BYTES = 12;
const CPU_CHANGE_HEAD = Buffer.from([0x03, 0xf0, 0x01, 0x20]);
/** More than Xen was ever built for (NR_CPUS). */
const MAX_CPUS = 16_384;
/** Bytes of records that are taken at a time. */
const PIECE = 1 << 18;
/** Bytes from one telling of progress to the next, at the least. */
const PROGRESS = 1 << 16;
const MAX_ID = 0xffff;
/** Exits of all forms, and of HVM guests whatever they trace. */
const EXIT_FLAGS = 0x500;
const [FIRST_EXIT, LAST_EXIT] = [0x81002, 0x81003];
const HVM_CLASS = 0x80000;

const NO_EXITS =
  'no exit of an HVM or PVH guest: either their events were not recorded (`xentrace -e 0xaf000` records them), or none ' +
  'ran; guests that are paravirtualized have no exits';
const UNSAID =
  'the exits have reasons that VMX and SVM both have, and nothing else tells which it was: reasons have no names';
const unknownDomain = (count: number): string =>
  `${count} ${count === 1 ? 'event' : 'events'} of guests came before the file says who runs on their host CPU: domain ` +
  'and vCPU are unknown, and they stand in the lanes of the host CPUs; record the scheduler too (`xentrace -e 0xaf000`)';

class XenImport implements Work {
  readonly #name: string;
  readonly #size: number;
  readonly #options: ImportOptions;
  readonly #trace: Assembly;
  readonly #decoder: XenDecoder;
  readonly #queue: XenQueue;
  readonly #cycles: boolean;
  readonly #clock: Clock;
  /** Who runs on each host CPU, as far as that was said. */
  readonly #running: (Lane | undefined)[] = [];
  #stopped: ImportError | null = null;
  #isa = 0;
  #last = -1;
  #unsaid = 0;
  #homeless = 0;
  #offset = 0;
  /** Bytes that progress was told of. */
  #told = 0;
  readonly #where = (): string => `${this.#name} (offset ${this.#offset})`;

  constructor({ name, size }: ByteSource, open: () => TraceWriter, options: ImportOptions) {
    const { columns, brief = false, tscHz = null } = options;
    this.#name = name;
    this.#size = size;
    this.#options = options;
    this.#trace = new Assembly(open, options);
    this.#trace.usesTscHz = tscHz !== null;
    const text = !brief && (columns?.includes('text') ?? true);
    this.#decoder = new XenDecoder(text, (event) => this.#trace.nameEvent(event));
    this.#queue = new XenQueue((record) => this.#record(record));
    this.#cycles = tscHz === null;
    this.#clock = new Clock(tscHz === null ? null : scaleOf(tscHz), 0n, TSC);
  }

  // the file

  run(window: Window): void {
    while (window.left > 0 || window.ensure(1)) {
      if (!window.ensure(CPU_CHANGE_BYTES)) {
        this.#cut(window, CPU_CHANGE_BYTES);
        break;
      }
      const { view, start } = window;
      if (!namesCpu(window)) this.#lookOn(window, 'no record that names a CPU where one must be');
      else {
        const cpu = view.getUint32(start + 4, true);
        const size = view.getUint32(start + 8, true);
        window.consume(CPU_CHANGE_BYTES);
        this.#turn(cpu);
        if (!this.#cpu(window, cpu, size)) break;
      }
      this.#progress(window);
    }
    this.#queue.end();
  }

  #progress({ offset }: Window): void {
    if (offset - this.#told < PROGRESS) return;
    this.#told = offset;
    this.#options.progress?.(offset, this.#size);
  }

  /** xentrace goes through the CPUs from the lowest: where their numbers do not rise, it began anew. */
  #turn(cpu: number): void {
    if (cpu <= this.#last) this.#queue.round();
    this.#last = cpu;
  }

  /** Takes `size` bytes of records of a CPU; false where reading cannot go on. */
  #cpu(window: Window, cpu: number, size: number): boolean {
    for (let rest = size; rest > 0; ) {
      window.ensure(Math.min(rest, PIECE));
      const there = Math.min(rest, window.left);
      const { bytes, why } = this.#scan(window, there);
      if (bytes > 0) {
        const copy = window.bytes.slice(window.start, window.start + bytes);
        this.#queue.take(cpu, { bytes: copy, view: new DataView(copy.buffer), offset: window.offset });
        window.consume(bytes);
        rest -= bytes;
        this.#progress(window);
      }
      if (why !== null) {
        this.#lookOn(window, why);
        return true;
      }
      if (bytes > 0) continue;
      const needed = there < 4 ? 4 : sizeOf(window.view.getUint32(window.start, true));
      if (there === rest) {
        this.#lookOn(window, `a record of ${needed} bytes where its CPU has ${rest} left`);
        return true;
      }
      this.#cut(window, needed);
      return false;
    }
    return true;
  }

  /** Whole records among the next `there` bytes, and what is wrong with what stands behind them. */
  #scan(window: Window, there: number): { readonly bytes: number; readonly why: string | null } {
    const { view, start } = window;
    const end = start + there;
    let at = start;
    while (at + 4 <= end) {
      const header = view.getUint32(at, true);
      if (header === CPU_CHANGE_HEADER) return { bytes: at - start, why: 'records of the next CPU before these end' };
      const event = eventOf(header);
      if (event >>> 16 === 0 || (event & 0xf000) === 0)
        return { bytes: at - start, why: `an event of number 0x${event.toString(16)}, which has no class` };
      const size = sizeOf(header);
      if (at + size > end) break;
      if (hasCycles(header)) this.#queue.note(view.getUint32(at + 4, true), view.getUint32(at + 8, true));
      // names get their numbers in the order of the file, whatever comes later in it
      if (!isAboutFile(event)) this.#decoder.program(event, extraWords(header));
      if (this.#isa === 0) this.#learnIsa(event, header, view, at + size - 4 * extraWords(header));
      at += size;
    }
    return { bytes: at - start, why: null };
  }

  #learnIsa(event: number, header: number, view: DataView, words: number): void {
    const base = event & ~EXIT_FLAGS;
    if ((base !== FIRST_EXIT && base !== LAST_EXIT) || extraWords(header) === 0) return;
    this.#isa = base === LAST_EXIT ? ISA.svm : isaOfReason(view.getUint32(words, true));
  }

  #damage(code: 'TRUNCATED' | 'CORRUPT', offset: number, why: string): void {
    const error = new ImportError(code, `${this.#name} (offset ${offset})`, why);
    this.#trace.damaged += 1;
    if (this.#stopped === null) this.#stopped = error;
    else this.#trace.notes.add(null, error.message);
  }

  #cut(window: Window, needed: number): void {
    if (this.#options.isEnded?.() !== true)
      this.#damage('TRUNCATED', window.offset, `a record needs ${needed} bytes, ${window.left} are left`);
    window.consume(window.left);
  }

  /** Goes on at the next record that names a CPU. */
  #lookOn(window: Window, why: string): void {
    const from = window.offset;
    while (!namesCpu(window) && window.left > 0) {
      const { bytes, start, left } = window;
      const found = Buffer.from(bytes.buffer, start, left).indexOf(CPU_CHANGE_HEAD, 1);
      // a head may be cut by the end of what is in memory
      const passed = found < 0 ? Math.max(1, left - CPU_CHANGE_HEAD.length + 1) : found;
      window.consume(passed);
      window.ensure(CPU_CHANGE_BYTES);
    }
    const left = window.offset - from;
    this.#damage('CORRUPT', from, left === 0 ? why : `${why}; ${left} bytes are left out`);
  }

  // records in the order of time

  #record(record: CpuRecords): void {
    const { view, words, header, cpu } = record;
    const event = eventOf(header);
    this.#offset = record.offset;
    const count = extraWords(header);
    if (isAboutFile(event)) {
      if (event === LOST_RECORDS && count > 0) this.#lost(record, count);
      return;
    }
    const trace = this.#trace;
    const program = this.#decoder.program(event, count);
    trace.flush();
    const { row } = trace;
    row.clear();
    if (record.hasTime) this.#time(record);
    this.#decoder.decode(program, view, words, count, this.#isa, row);
    const named = this.#named();
    const runs = program.event?.runs;
    if (runs === 'on' && named !== null) this.#running[cpu] = named;
    else if (runs === 'off' && named === this.#running[cpu]) this.#running[cpu] = undefined;
    const lane = named ?? this.#running[cpu] ?? this.#ofCpu(cpu, event);
    if (program.kind === EVENT_KINDS.exit || program.kind === EVENT_KINDS.entry) {
      lane.guest = program.event?.nested === true ? 2 : 1;
      if (program.kind === EVENT_KINDS.exit && row.isa === 0) this.#unsaid += 1;
    }
    trace.hold(lane);
  }

  #time({ timeLow, timeHigh }: CpuRecords): void {
    const { row } = this.#trace;
    row.hasTick = this.#cycles;
    row.hasTime = !this.#cycles;
    this.#clock.at(timeLow, timeHigh);
    row.timeLow = this.#clock.timeLow;
    row.timeHigh = this.#clock.timeHigh;
  }

  /** Lane of the vCPU that the last record named. */
  #named(): Lane | null {
    const { domain, vcpu } = this.#decoder;
    const known = domain >= 0 && vcpu >= 0 && domain <= MAX_ID && vcpu <= MAX_ID;
    return known ? this.#trace.lanes.ofDomain(domain, vcpu, this.#where) : null;
  }

  #ofCpu(cpu: number, event: number): Lane {
    if ((event & HVM_CLASS) !== 0) this.#homeless += 1;
    return this.#trace.lanes.ofCpu(cpu, this.#where);
  }

  /** Xen says how many records are missing and, since it had to look anyway, who runs now. */
  #lost({ view, words, cpu }: CpuRecords, count: number): void {
    this.#trace.lose(view.getUint32(words, true), cpu, this.#where);
    if (count < 2) return;
    const domain = view.getUint16(words + 4, true);
    const vcpu = view.getUint16(words + 6, true);
    this.#running[cpu] = this.#trace.lanes.ofDomain(domain, vcpu, this.#where);
  }

  /** Ends reading at an error, if there is something to keep. */
  halt(error: unknown): void {
    if (!(error instanceof ImportError) || this.#trace.events === 0) throw error;
    if (this.#stopped !== null) this.#trace.notes.add(null, this.#stopped.message);
    this.#stopped = error;
  }

  finish(source: ByteSource): ImportResult {
    const { notes } = this.#trace;
    const { late } = this.#queue;
    this.#trace.flush();
    if (this.#trace.events === 0) throw this.#stopped ?? new ImportError('NO_EVENTS', source.name);
    if (this.#homeless > 0) notes.add(null, unknownDomain(this.#homeless));
    if (this.#unsaid > 0) notes.add(null, UNSAID);
    if (late > 0) notes.add(null, `${late} records came so late that later ones of other CPUs stand before them`);
    const end = { source: source.name, format: FORMAT, stopped: this.#stopped, noExits: NO_EXITS };
    return this.#trace.finish(end, { lines: 0, frames: 0 });
  }

  abandon(): void {
    this.#trace.writer?.abandon();
  }
}

/** What is no event of the host: fillings of the buffer, what was lost, whose records these are. */
const isAboutFile = (event: number): boolean => event === WRAP_BUFFER || event === LOST_RECORDS || event === CPU_CHANGE;

/** A record that names a CPU stands next. */
function namesCpu(window: Window): boolean {
  if (!window.ensure(CPU_CHANGE_BYTES)) return false;
  const { view, start } = window;
  return view.getUint32(start, true) === CPU_CHANGE_HEADER && view.getUint32(start + 4, true) < MAX_CPUS;
}

/** Imports what xentrace wrote; see importTrace for what it throws and returns. */
export function importXentrace(source: ByteSource, open: () => TraceWriter, options: ImportOptions): ImportResult {
  const work = new XenImport(source, open, options);
  return carryOut(work, source, () => work.run(pipeWindow(source)));
}
