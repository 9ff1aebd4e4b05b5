/** Records of perf.data in the order of their time become events: samples, names of threads, and what was lost. */
import { ImportError } from '../errors.js';
import type { Intake } from './intake.js';
import { type Attribute, readSize, TRACEPOINT } from './perf-attr.js';
import type { PerfDescription } from './perf-description.js';
import type { QueuedRecord } from './perf-queue.js';
import { numberAt, RECORD } from './perf-records.js';

/** Addresses from here on mark a context in a call chain (PERF_CONTEXT_MAX). */
const CONTEXT_HIGH = 0xffff_ffff;
const CONTEXT_LOW = 0xffff_f001;

/** PERF_RECORD_MISC_LOST_SAMPLES_BPF: samples that a filter left out, which were not wanted. */
const FILTERED = 1 << 15;

const utf8 = new TextDecoder('utf-8', { fatal: false });

export class PerfEvents {
  readonly #little: boolean;
  readonly #intake: Intake;
  readonly #description: PerfDescription;
  readonly #place: (offset: number) => string;
  readonly #codes = new Map<Attribute, number>();
  /** Lost events by perf's counters, and those that records told of where they were. */
  #counted = 0;
  #told = 0;
  #record: QueuedRecord | null = null;
  readonly #where = (): string => this.#place(this.#record?.offset ?? 0);

  constructor(little: boolean, intake: Intake, description: PerfDescription, place: (offset: number) => string) {
    this.#little = little;
    this.#intake = intake;
    this.#description = description;
    this.#place = place;
  }

  #damage(offset: number, why: string): void {
    this.#intake.damage(new ImportError('CORRUPT', this.#place(offset), why));
  }

  take(record: QueuedRecord): void {
    const { view, at, size } = record;
    this.#record = record;
    const type = view.getUint32(at, this.#little);
    if (type === RECORD.sample) this.#sample(record);
    else if (type === RECORD.comm) this.#comm(record);
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
      cpu < 0 && size + cpu >= 8 ? view.getUint32(at + size + cpu, this.#little) : -1,
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
    const cpu = layout.cpu < 0 ? -1 : view.getUint32(at + layout.cpu, this.#little);
    if (attribute.type === TRACEPOINT && raw > 0) this.#tracepoint(attribute, record, raw, thread, process, cpu);
    else this.#plain(attribute, record, thread, process, cpu);
  }

  #tracepoint(
    { id, layout }: Attribute,
    record: QueuedRecord,
    raw: number,
    thread: number,
    process: number,
    cpu: number,
  ): void {
    const { view, at } = record;
    const length = view.getUint32(at + raw, this.#little);
    const program = this.#intake.program(id, this.#description.formats);
    if (length < program.size) {
      const why = `${program.format.name} has ${length} bytes, its format says ${program.size}`;
      this.#damage(record.offset, why);
      return;
    }
    this.#intake.record(
      program,
      view,
      at + raw + 4,
      length,
      record,
      layout.time >= 0,
      thread,
      process,
      cpu,
      this.#where,
    );
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
    let code = this.#codes.get(attribute);
    if (code === undefined) {
      code = this.#intake.trace.nameEvent(name);
      this.#codes.set(attribute, code);
    }
    const part = (label: string, where: number): string =>
      where < 0 ? '' : ` ${label}=0x${view.getBigUint64(at + where, this.#little).toString(16)}`;
    const text = `${name}:${part('ip', layout.ip)}${part('addr', layout.addr)}${part('period', layout.period)}`;
    this.#intake.plain(code, text, record, layout.time >= 0, thread, process, cpu, this.#where);
  }
}
