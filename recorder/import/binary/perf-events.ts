/** Records of perf.data in the order of their time become events: samples, names of threads, and what was lost. */
import { ImportError } from '../errors.js';
import type { Intake } from './intake.js';
import { type Attribute, readSize, TRACEPOINT } from './perf-attr.js';
import type { PerfDescription } from './perf-description.js';
import type { QueuedRecord } from './perf-queue.js';
import { numberAt, RECORD } from './perf-records.js';
import type { Program } from './program.js';

/** Addresses from here on mark a context in a call chain (PERF_CONTEXT_MAX). */
const CONTEXT_HIGH = 0xffff_ffff;
const CONTEXT_LOW = 0xffff_f001;

/** PERF_RECORD_MISC_LOST_SAMPLES_BPF: samples that a filter left out, which were not wanted. */
const FILTERED = 1 << 15;

/** Identities of samples below are looked up in an array. */
const FEW = 1 << 16;

/** A tracepoint whose samples have all their parts at fixed places: offsets from the start of a sample, -1 where it has none. */
interface Fixed {
  readonly program: Program;
  readonly raw: number;
  readonly tid: number;
  readonly cpu: number;
  readonly hasTime: boolean;
}

const OVERWRITTEN =
  'recorded with --overwrite: where a ring was full, newer events took the place of the oldest; how many is unknown';

const utf8 = new TextDecoder('utf-8', { fatal: false });

export class PerfEvents {
  readonly #little: boolean;
  readonly #intake: Intake;
  readonly #description: PerfDescription;
  readonly #place: (offset: number) => string;
  readonly #codes = new Map<Attribute, number>();
  /** Tracepoints that were met, by the identity of their samples: most of a recording is of few. */
  readonly #fixed: (Fixed | null)[] = [];
  /** Lost events by perf's counters, and those that records told of where they were. */
  #counted = 0;
  #told = 0;
  #begun = false;
  #record: QueuedRecord | null = null;
  readonly #where = (): string => this.#place(this.#record?.offset ?? 0);

  constructor(little: boolean, intake: Intake, description: PerfDescription, place: (offset: number) => string) {
    this.#little = little;
    this.#intake = intake;
    this.#description = description;
    this.#place = place;
    intake.where = this.#where;
  }

  #damage(offset: number, why: string): void {
    this.#intake.damage(new ImportError('CORRUPT', this.#place(offset), why));
  }

  take(record: QueuedRecord): void {
    const { view, at, size } = record;
    if (this.#record !== record) this.#record = record;
    const type = view.getUint32(at, this.#little);
    if (type === RECORD.sample) {
      if (!this.#isFixed(view, at, size, record)) this.#sample(record);
    } else if (type === RECORD.comm) this.#comm(record);
    else if (type === RECORD.lost && size >= 24) this.#lost(record, numberAt(this.#little, view, at + 16));
    else if (type === RECORD.lostSamples && size >= 16) this.#lostSamples(record, numberAt(this.#little, view, at + 8));
  }

  #comm({ view, at, size }: QueuedRecord): void {
    const end = size - (this.#description.first?.layout.trailer.size ?? 0);
    if (end <= 16) return;
    const bytes = new Uint8Array(view.buffer, at + 16, end - 16);
    const nul = bytes.indexOf(0);
    this.#intake.commands.set(
      view.getUint32(at + 12, this.#little),
      utf8.decode(bytes.slice(0, nul < 0 ? bytes.length : nul)),
    );
  }

  /**
   * Samples that the kernel says are lost as it goes have a time. Those without are what perf (from 6.1 on) read of each
   * event's counter at its end: the lost ones that PERF_RECORD_LOST told of are among them.
   */
  #lostSamples(record: QueuedRecord, count: number): void {
    if (record.timeLow !== 0 || record.timeHigh !== 0) this.#lost(record, count);
    else if ((record.view.getUint16(record.at + 4, this.#little) & FILTERED) === 0) this.#counted += count;
  }

  /** Before the first event: what was before it and is there no more. */
  #begin(): void {
    if (this.#begun) return;
    this.#begun = true;
    if (!this.#description.isOverwritten) return;
    this.#intake.trace.notes.add(null, OVERWRITTEN);
    this.#intake.trace.lose(0, -1, this.#where);
  }

  /** Tells of what is lost by perf's counters beyond what records told of: nobody knows where in the trace that was. */
  end(): void {
    const more = this.#counted - this.#told;
    if (more > 0 && this.#intake.trace.events > 0) this.#intake.trace.lose(more, -1, this.#where);
  }

  #lost({ view, at, size }: QueuedRecord, count: number): void {
    this.#told += count;
    const cpu = this.#description.first?.layout.trailer.cpu ?? 0;
    this.#intake.trace.lose(
      count,
      cpu < 0 && size + cpu >= 8 ? view.getInt32(at + size + cpu, this.#little) : -1,
      this.#where,
    );
  }

  #sample(record: QueuedRecord): void {
    const attribute = this.#description.ofSample(record.view, record.at, record.size);
    if (attribute === null) {
      this.#damage(record.offset, 'a sample of an event that the file does not describe');
      return;
    }
    const { layout } = attribute;
    const { view, at, size } = record;
    const raw = layout.rawAt < 0 ? this.#variable(attribute, view, at, size) : this.#raw(layout.rawAt, view, at, size);
    if (raw < 0) {
      this.#damage(record.offset, `a sample of ${attribute.name} that its ${size} bytes cannot hold`);
      return;
    }
    const process = layout.tid < 0 ? -1 : view.getInt32(at + layout.tid, this.#little);
    const thread = layout.tid < 0 ? -1 : view.getInt32(at + layout.tid + 4, this.#little);
    const cpu = layout.cpu < 0 ? -1 : view.getInt32(at + layout.cpu, this.#little); // -1: perf does not know it
    if (attribute.type === TRACEPOINT && raw > 0) this.#tracepoint(attribute, record, raw, thread, process, cpu);
    else this.#plain(attribute, record, thread, process, cpu);
  }

  /** Takes a sample of a tracepoint that was met, where it has all that it should; false where it was not taken. */
  #isFixed(view: DataView, at: number, size: number, record: QueuedRecord): boolean {
    const id = this.#little ? this.#description.idAt : -1;
    if (id < 0 || id + 8 > size || view.getInt32(at + id + 4, true) !== 0) return false;
    const number = view.getInt32(at + id, true);
    const known = number >= 0 && number < this.#fixed.length ? (this.#fixed[number] as Fixed | null) : null;
    if (known === null || known.raw + 4 > size) return false;
    const { program, raw, tid, cpu, hasTime } = known;
    const length = view.getInt32(at + raw, true);
    if (length < program.size || length > size - raw - 4) return false;
    this.#intake.record(
      program,
      view,
      at + raw + 4,
      length,
      record.timeLow,
      record.timeHigh,
      hasTime,
      tid < 0 ? -1 : view.getInt32(at + tid + 4, true),
      tid < 0 ? -1 : view.getInt32(at + tid, true),
      cpu < 0 ? -1 : view.getInt32(at + cpu, true),
    );
    return true;
  }

  /** Remembers a tracepoint by the identity of a sample of it. */
  #meet({ layout }: Attribute, program: Program, { view, at, size }: QueuedRecord): void {
    const { idAt } = this.#description;
    if (layout.rawAt < 0 || idAt < 0 || idAt + 8 > size) return;
    const id = numberAt(this.#little, view, at + idAt);
    if (id >= FEW) return;
    while (this.#fixed.length <= id) this.#fixed.push(null);
    this.#fixed[id] = { program, raw: layout.rawAt, tid: layout.tid, cpu: layout.cpu, hasTime: layout.time >= 0 };
  }

  #tracepoint(
    attribute: Attribute,
    record: QueuedRecord,
    raw: number,
    thread: number,
    process: number,
    cpu: number,
  ): void {
    const { view, at } = record;
    const length = view.getUint32(at + raw, this.#little);
    const program = this.#intake.program(attribute.id, this.#description.formats);
    if (length < program.size) {
      const why = `${program.format.name} has ${length} bytes, its format says ${program.size}`;
      this.#damage(record.offset, why);
      return;
    }
    this.#begin();
    const { timeLow, timeHigh } = record;
    const hasTime = attribute.layout.time >= 0;
    this.#intake.record(program, view, at + raw + 4, length, timeLow, timeHigh, hasTime, thread, process, cpu);
    this.#meet(attribute, program, record);
  }

  /** Where the raw data of a sample lies, 0 where it has none, -1 where the sample is too short. */
  #variable({ layout, readFormat }: Attribute, view: DataView, at: number, size: number): number {
    let end = layout.end;
    if (end > size) return -1;
    if (layout.read) {
      if (end + 8 > size) return -1;
      end += readSize(readFormat, numberAt(this.#little, view, at + end));
      if (end > size) return -1;
    }
    if (layout.callchain) {
      if (end + 8 > size) return -1;
      const count = numberAt(this.#little, view, at + end);
      end += 8 + 8 * count;
      if (end > size) return -1;
      this.#intake.frames += this.#frames(view, at + end - 8 * count, count);
    }
    return layout.raw ? this.#raw(end, view, at, size) : 0;
  }

  /** Raw data behind its size at `raw`, where a sample can hold it, else -1. */
  #raw(raw: number, view: DataView, at: number, size: number): number {
    if (raw + 4 > size) return -1;
    return raw + 4 + view.getUint32(at + raw, this.#little) > size ? -1 : raw;
  }

  #frames(view: DataView, at: number, count: number): number {
    let frames = 0;
    for (let i = 0; i < count; i++) {
      const low = view.getUint32(at + 8 * i + (this.#little ? 0 : 4), this.#little);
      const high = view.getUint32(at + 8 * i + (this.#little ? 4 : 0), this.#little);
      if (high !== CONTEXT_HIGH || low < CONTEXT_LOW) frames += 1;
    }
    return frames;
  }

  /** A sample that is no tracepoint: what it says is kept as text. */
  #plain(attribute: Attribute, record: QueuedRecord, thread: number, process: number, cpu: number): void {
    const { view, at } = record;
    const { layout, name } = attribute;
    this.#begin();
    let code = this.#codes.get(attribute);
    if (code === undefined) {
      code = this.#intake.trace.nameEvent(name);
      this.#codes.set(attribute, code);
    }
    const part = (label: string, where: number): string =>
      where < 0 ? '' : ` ${label}=0x${view.getBigUint64(at + where, this.#little).toString(16)}`;
    const text = `${name}:${part('ip', layout.ip)}${part('addr', layout.addr)}${part('period', layout.period)}`;
    this.#intake.plain(code, text, record, layout.time >= 0, thread, process, cpu);
  }
}
