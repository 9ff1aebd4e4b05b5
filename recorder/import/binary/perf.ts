/**
 * Imports perf.data: file mode and pipe mode, plain and compressed, of either byte order
 * (tools/perf/Documentation/perf.data-file-format.txt, tools/perf/util/session.c).
 */
import type { TraceWriter } from '../../../traces/store.js';
import { ImportError } from '../errors.js';
import type { ImportOptions, ImportResult } from '../result.js';
import { type ByteSource, spool } from '../source.js';
import { ZstdStream } from './compression.js';
import { Formats } from './formats.js';
import { Intake } from './intake.js';
import { readEventFormats, readFtraceFormats, readHeaderInfo } from './metadata.js';
import { type Attribute, readAttribute, readSize, TRACEPOINT } from './perf-attr.js';
import { PerfQueue, type QueuedRecord } from './perf-queue.js';
import { bytesInMemory, type RandomBytes, Scanner } from './scanner.js';
import { fileWindow, pipeWindow, Window } from './window.js';

const FORMAT = 'perf';
const HEADER = 8;
const PIPE_HEADER = 16;
const FEATURE_TRACING_DATA = 1;
const FEATURE_EVENT_DESC = 12;
const FEATURE_BITS = 256;
/** The text of all event formats and of kallsyms. */
const MAX_BLOCK = 256 << 20;
/** What one compressed record of 64 KiB may become. */
const MAX_INFLATED = 64 << 20;
const PROGRESS = 0x3fff;

/** enum perf_event_type and perf_user_event_type. */
const RECORD = {
  lost: 2,
  comm: 3,
  sample: 9,
  lostSamples: 13,
  attribute: 64,
  tracingData: 66,
  finishedRound: 68,
  auxTrace: 71,
  eventUpdate: 78,
  feature: 80,
  compressed: 81,
  compressed2: 83,
} as const;
/** Types beyond any that perf has given or is about to give. */
const LAST_TYPE = 4096;
const UPDATE_NAME = 2;
/** Addresses from here on mark a context in a call chain (PERF_CONTEXT_MAX). */
const CONTEXT_HIGH = 0xffff_ffff;
const CONTEXT_LOW = 0xffff_f001;

class PerfImport {
  readonly #name: string;
  readonly #little: boolean;
  readonly #intake: Intake;
  readonly #formats = new Formats();
  readonly #attributes: Attribute[] = [];
  readonly #byId = new Map<string, Attribute>();
  /** By the halves of the id, the last one found: ids are few and come in runs. */
  #lastLow = -1;
  #lastHigh = -1;
  #last: Attribute | null = null;
  readonly #queue = new PerfQueue((record) => this.#emit(record));
  readonly #options: ImportOptions;
  readonly #size: number;
  #inflated: Window | null = null;
  #stream: ZstdStream | null = null;
  #records = 0;
  #offset = 0;
  readonly #codes = new Map<Attribute, number>();
  readonly #where = (): string => this.#place(this.#offset);

  constructor(name: string, size: number, little: boolean, open: () => TraceWriter, options: ImportOptions) {
    this.#name = name;
    this.#size = size;
    this.#little = little;
    this.#options = options;
    this.#intake = new Intake(open, little, options);
  }

  #place(offset: number): string {
    return `${this.#name} (offset ${offset})`;
  }

  #damage(code: 'TRUNCATED' | 'CORRUPT', offset: number, why: string): void {
    this.#intake.damage(new ImportError(code, this.#place(offset), why));
  }

  // file mode

  readFile(bytes: RandomBytes): void {
    const scanner = new Scanner(bytes, 8, bytes.size, this.#little);
    scanner.skip(8, 'header');
    const attributeSize = scanner.u64('size of an attribute');
    const section = (what: string) => ({
      offset: scanner.u64(`offset of ${what}`),
      size: scanner.u64(`size of ${what}`),
    });
    const attributes = section('the attributes');
    const data = section('the data');
    section('the event types');
    const features = scanner.bytes(FEATURE_BITS / 8, 'features');
    this.#readAttributes(bytes, attributes, attributeSize);
    let end = data.offset + data.size;
    if (data.size === 0) {
      end = bytes.size;
      this.#damage('TRUNCATED', data.offset, 'perf did not end in order: read to the end of the file');
    } else if (end > bytes.size) {
      this.#damage('TRUNCATED', bytes.size, `${end - bytes.size} bytes of data are missing`);
    } else this.#readFeatures(bytes, end, features);
    this.#run(fileWindow(bytes, data.offset, Math.min(end, bytes.size)));
  }

  #readAttributes(bytes: RandomBytes, { offset, size }: Section, each: number): void {
    if (each < 80 || each > 4096) throw new ImportError('CORRUPT', this.#place(16), `attributes of ${each} bytes`);
    let room = bytes.size;
    for (let at = offset; at + each <= offset + size; at += each) {
      const scanner = new Scanner(bytes, at, at + each, this.#little);
      const attribute = this.#addAttribute(readAttribute(scanner, each - 16));
      const ids = { offset: scanner.u64('offset of ids'), size: scanner.u64('size of ids') };
      room -= ids.size;
      if (room < 0) throw scanner.corrupt('ids that other attributes have');
      const list = new Scanner(bytes, ids.offset, ids.offset + ids.size, this.#little);
      while (list.left >= 8) this.#byId.set(String(list.big('an id')), attribute);
    }
  }

  #addAttribute(attribute: Attribute): Attribute {
    this.#attributes.push(attribute);
    return attribute;
  }

  /** The table of features lies behind the data, one entry for each bit that is set. */
  #readFeatures(bytes: RandomBytes, at: number, bits: Uint8Array): void {
    const table = new Scanner(bytes, at, bytes.size, this.#little);
    try {
      for (let feature = 0; feature < FEATURE_BITS; feature++) {
        // an array of 64-bit words
        const byte = this.#little ? feature >> 3 : ((feature >> 6) << 3) + (7 - ((feature & 63) >> 3));
        if (((bits[byte] ?? 0) & (1 << (feature & 7))) === 0) continue;
        const offset = table.u64('offset of a feature');
        const size = table.u64('size of a feature');
        if (offset + size > bytes.size) throw table.truncated('a feature', size);
        this.#readFeature(feature, new Scanner(bytes, offset, offset + size, this.#little));
      }
    } catch (error) {
      if (!(error instanceof ImportError)) throw error;
      this.#intake.damage(error);
    }
  }

  #readFeature(feature: number, scanner: Scanner): void {
    if (feature === FEATURE_TRACING_DATA) this.#readTracingData(scanner);
    else if (feature === FEATURE_EVENT_DESC) this.#readDescriptions(scanner);
  }

  /** Names of the events, with their attributes once more. */
  #readDescriptions(scanner: Scanner): void {
    const count = scanner.u32('number of events');
    const size = scanner.u32('size of an attribute');
    for (let i = 0; i < count; i++) {
      const again = readAttribute(scanner, size);
      const ids = scanner.u32('number of ids');
      const length = scanner.u32('length of a name');
      if (length > 4096) throw scanner.corrupt(`a name of ${length} bytes`);
      const name = scanner.text(length, 'name of an event');
      const known = this.#attributes[i];
      if (known !== undefined && known.type === again.type && known.config === again.config) known.name = name;
      scanner.skip(8 * ids, 'ids of an event');
    }
  }

  /** The block that trace-event-read.c reads: like version 6 of trace.dat up to the formats. */
  #readTracingData(scanner: Scanner): void {
    const magic = scanner.bytes(10, 'tracing data');
    if (magic[0] !== 0x17 || magic[1] !== 0x08 || magic[2] !== 0x44) throw scanner.corrupt('no tracing data');
    scanner.string('version of the tracing data', 16);
    const little = scanner.u8('byte order of the tracing data') === 0;
    if (little !== this.#little) throw scanner.corrupt('tracing data of another byte order');
    const longSize = scanner.u8('size of a long');
    scanner.skip(4, 'page size');
    readHeaderInfo(scanner, longSize);
    readFtraceFormats(scanner, this.#formats);
    readEventFormats(scanner, this.#formats);
  }

  // pipe mode

  readPipe(window: Window): void {
    if (!window.ensure(PIPE_HEADER)) throw new ImportError('TRUNCATED', this.#place(0), 'a header of 16 bytes');
    window.consume(PIPE_HEADER);
    this.#run(window);
  }

  // records

  #run(window: Window): void {
    while (window.left > 0 || window.ensure(1)) {
      if (!window.ensure(HEADER)) {
        this.#cut(window, HEADER);
        break;
      }
      const size = window.view.getUint16(window.start + 6, this.#little);
      if (size < HEADER) {
        this.#damage('CORRUPT', window.offset, `a record of ${size} bytes; what follows cannot be found`);
        break;
      }
      const type = window.view.getUint32(window.start, this.#little);
      if (type > LAST_TYPE) {
        this.#damage('CORRUPT', window.offset, `a record of type 0x${type.toString(16)}; what follows cannot be found`);
        break;
      }
      if (!window.ensure(size)) {
        this.#cut(window, size);
        break;
      }
      this.#offset = window.offset;
      if (!this.#meta(type, window, size)) break;
      this.#records += 1;
      if ((this.#records & PROGRESS) === 0) this.#options.progress?.(window.offset, this.#size);
    }
    this.#queue.end();
  }

  #cut(window: Window, needed: number): void {
    const why = `a record needs ${needed} bytes, ${window.left} are left`;
    this.#damage('TRUNCATED', window.offset, why);
  }

  /** Consumes a record, and what lies behind it where it says so; false where reading cannot go on. */
  #meta(type: number, window: Window, size: number): boolean {
    switch (type) {
      case RECORD.compressed:
      case RECORD.compressed2:
        return this.#compressed(type, window, size);
      case RECORD.tracingData:
        return this.#tracingData(window, size);
      case RECORD.auxTrace: {
        const more = size >= 16 ? this.#number(window.view, window.start + 8) : 0;
        window.consume(size);
        if (window.skip(more)) return true;
        this.#damage('TRUNCATED', window.offset, 'trace data of a processor is missing');
        return false;
      }
      default:
        this.#record(type, window, size);
        window.consume(size);
        return true;
    }
  }

  #record(type: number, { bytes, view, start, offset }: Window, size: number): void {
    switch (type) {
      case RECORD.sample:
      case RECORD.lost:
      case RECORD.lostSamples:
      case RECORD.comm:
        this.#enqueue(type, bytes, view, start, size, offset);
        return;
      case RECORD.finishedRound:
        this.#queue.round();
        return;
      case RECORD.attribute:
      case RECORD.eventUpdate:
      case RECORD.feature:
        this.#describe(type, bytes.slice(start + HEADER, start + size), offset);
        return;
    }
  }

  /** Records that say what others mean; a damaged one is noted and left out. */
  #describe(type: number, body: Uint8Array, offset: number): void {
    const scanner = new Scanner(bytesInMemory(body, this.#place(offset)), 0, body.length, this.#little);
    try {
      if (type === RECORD.attribute) {
        const attribute = this.#addAttribute(readAttribute(scanner, null));
        while (scanner.left >= 8) this.#byId.set(String(scanner.big('an id')), attribute);
      } else if (type === RECORD.eventUpdate) {
        const what = scanner.u64('kind of an update');
        const attribute = this.#byId.get(String(scanner.big('id of an update')));
        if (what === UPDATE_NAME && attribute !== undefined) attribute.name = scanner.string('name of an event');
      } else this.#readFeature(scanner.u64('a feature'), scanner);
    } catch (error) {
      if (!(error instanceof ImportError)) throw error;
      this.#intake.damage(error);
    }
  }

  /** The block lies behind its record, filled up to 8 bytes. */
  #tracingData(window: Window, size: number): boolean {
    const length = size >= 12 ? window.view.getUint32(window.start + 8, this.#little) : 0;
    window.consume(size);
    const { offset } = window;
    if (length > MAX_BLOCK) {
      this.#damage('CORRUPT', offset, `tracing data of ${length} bytes`);
      return false;
    }
    if (!window.ensure((length + 7) & ~7)) {
      this.#damage('TRUNCATED', offset, `tracing data needs ${length} bytes, ${window.left} are left`);
      return false;
    }
    const body = window.bytes.slice(window.start, window.start + length);
    window.consume((length + 7) & ~7);
    try {
      this.#readTracingData(new Scanner(bytesInMemory(body, this.#place(offset)), 0, length, this.#little));
    } catch (error) {
      if (!(error instanceof ImportError)) throw error;
      this.#intake.damage(error);
    }
    return true;
  }

  /** A piece of one zstd stream, whose content is records again; the last may go on in the next piece. */
  #compressed(type: number, window: Window, size: number): boolean {
    let from = window.start + HEADER;
    let to = window.start + size;
    if (type === RECORD.compressed2) {
      const length = size >= 16 ? this.#number(window.view, from) : 0;
      from += 8;
      to = Math.min(to, from + length);
    }
    const { offset } = window;
    const inner = this.#inner();
    const problem = this.#stream?.push(window.bytes.subarray(from, Math.max(from, to)), MAX_INFLATED) ?? null;
    window.consume(size);
    if (problem !== null) {
      this.#damage('CORRUPT', offset, `a compressed record: ${problem}`);
      return false;
    }
    while (inner.left >= HEADER) {
      const length = inner.view.getUint16(inner.start + 6, this.#little);
      if (length < HEADER) {
        this.#damage('CORRUPT', offset, `a record of ${length} bytes in a compressed one`);
        return false;
      }
      if (inner.left < length) break;
      inner.offset = offset;
      this.#record(inner.view.getUint32(inner.start, this.#little), inner, length);
      inner.consume(length);
    }
    return true;
  }

  #inner(): Window {
    if (this.#inflated !== null) return this.#inflated;
    const inner = new Window(() => 0, 0, 1 << 16);
    this.#inflated = inner;
    this.#stream = new ZstdStream((data) => inner.push(data));
    return inner;
  }

  #number(view: DataView, at: number): number {
    const first = view.getUint32(at, this.#little);
    const second = view.getUint32(at + 4, this.#little);
    return this.#little ? second * 0x1_0000_0000 + first : first * 0x1_0000_0000 + second;
  }

  /** Where the time of a record lies, or -1. */
  #timeAt(type: number, size: number): number {
    const layout = this.#attributes[0]?.layout;
    if (layout === undefined) return -1;
    if (type === RECORD.sample) return layout.time >= 0 && layout.time + 8 <= size ? layout.time : -1;
    const { time } = layout.trailer;
    return time < 0 && size + time >= HEADER ? size + time : -1;
  }

  #enqueue(type: number, bytes: Uint8Array, view: DataView, at: number, size: number, offset: number): void {
    const time = this.#timeAt(type, size);
    if (time < 0) {
      this.#emit({ view, at, size, timeLow: 0, timeHigh: 0, offset });
      return;
    }
    const [low, high] = this.#little ? [0, 4] : [4, 0];
    const timeLow = view.getUint32(at + time + low, this.#little);
    const timeHigh = view.getUint32(at + time + high, this.#little);
    this.#queue.add(bytes, at, size, timeLow, timeHigh, offset);
  }

  // in the order of time

  #emit(record: QueuedRecord): void {
    const { view, at, size } = record;
    this.#offset = record.offset;
    const type = view.getUint32(at, this.#little);
    if (type === RECORD.sample) this.#sample(record);
    else if (type === RECORD.comm) this.#comm(record);
    else if (type === RECORD.lost && size >= 24) this.#lost(record, this.#number(view, at + 16));
    else if (type === RECORD.lostSamples && size >= 16) this.#lost(record, this.#number(view, at + 8));
  }

  #comm({ view, at, size }: QueuedRecord): void {
    const end = size - (this.#attributes[0]?.layout.trailer.size ?? 0);
    if (end <= 16) return;
    const bytes = new Uint8Array(view.buffer, at + 16, end - 16);
    const nul = bytes.indexOf(0);
    this.#intake.commands.set(
      view.getUint32(at + 12, this.#little),
      utf8.decode(bytes.slice(0, nul < 0 ? bytes.length : nul)),
    );
  }

  #lost({ view, at, size }: QueuedRecord, count: number): void {
    const cpu = this.#attributes[0]?.layout.trailer.cpu ?? 0;
    this.#intake.trace.lose(
      count,
      cpu < 0 && size + cpu >= 8 ? view.getUint32(at + size + cpu, this.#little) : -1,
      this.#where,
    );
  }

  /** The event that a sample is of; null where its id is none that the file knows. */
  #attribute({ view, at, size }: QueuedRecord): Attribute | null {
    const [first] = this.#attributes;
    if (first === undefined) return null;
    if (this.#attributes.length === 1) return first;
    const { id } = first.layout;
    if (id < 0 || id + 8 > size) return first;
    const low = view.getUint32(at + id, this.#little);
    const high = view.getUint32(at + id + 4, this.#little);
    if (low === this.#lastLow && high === this.#lastHigh) return this.#last;
    this.#lastLow = low;
    this.#lastHigh = high;
    this.#last = this.#byId.get(String(view.getBigUint64(at + id, this.#little))) ?? null;
    return this.#last;
  }

  #sample(record: QueuedRecord): void {
    const attribute = this.#attribute(record);
    if (attribute === null) {
      this.#damage('CORRUPT', record.offset, 'a sample of an event that the file does not describe');
      return;
    }
    const { layout } = attribute;
    const { view, at, size } = record;
    const raw = this.#variable(attribute, view, at, size);
    if (raw < 0) {
      this.#damage('CORRUPT', record.offset, `a sample of ${attribute.name} that its ${size} bytes cannot hold`);
      return;
    }
    const process = layout.tid < 0 ? -1 : view.getInt32(at + layout.tid, this.#little);
    const thread = layout.tid < 0 ? -1 : view.getInt32(at + layout.tid + 4, this.#little);
    const cpu = layout.cpu < 0 ? -1 : view.getUint32(at + layout.cpu, this.#little);
    if (attribute.type === TRACEPOINT && raw > 0) this.#tracepoint(attribute, record, raw, thread, process, cpu);
    else this.#plain(attribute, record, thread, process, cpu);
  }

  #tracepoint(
    { config, layout }: Attribute,
    record: QueuedRecord,
    raw: number,
    thread: number,
    process: number,
    cpu: number,
  ): void {
    const { view, at, offset } = record;
    const length = view.getUint32(at + raw, this.#little);
    const program = this.#intake.program(Number(config & 0xffff_ffffn), this.#formats);
    if (length < program.size) {
      const why = `${program.format.name} has ${length} bytes, its format says ${program.size}`;
      this.#damage('CORRUPT', offset, why);
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
      end += readSize(readFormat, this.#number(view, at + end));
      if (end > size) return -1;
    }
    if (layout.callchain) {
      if (end + 8 > size) return -1;
      const count = this.#number(view, at + end);
      end += 8 + 8 * count;
      if (end > size) return -1;
      this.#intake.frames += this.#frames(view, at + end - 8 * count, count);
    }
    if (!layout.raw) return 0;
    if (end + 4 > size) return -1;
    const length = view.getUint32(at + end, this.#little);
    return end + 4 + length > size ? -1 : end;
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

  /** Ends reading at an error, if there is something to keep. */
  halt(error: unknown): void {
    if (!this.#intake.halt(error)) throw error;
  }

  finish(source: ByteSource): ImportResult {
    const { late } = this.#queue;
    if (late > 0) {
      const says = `${late} records came so late that later ones stand before them: the file has no rounds to go by`;
      this.#intake.trace.notes.add(null, says);
    }
    return this.#intake.finish(source, FORMAT);
  }

  abandon(): void {
    this.#intake.trace.writer?.abandon();
  }
}

interface Section {
  readonly offset: number;
  readonly size: number;
}

const utf8 = new TextDecoder('utf-8', { fatal: false });

/** Size of the header, which tells file mode from pipe mode. */
function headerSize(head: Uint8Array, little: boolean): number {
  return head.length < PIPE_HEADER ? 0 : Number(new DataView(head.buffer, head.byteOffset).getBigUint64(8, little));
}

/** Imports perf.data whose first 16 bytes are `head`; see importTrace for what it throws and returns. */
export function importPerf(
  source: ByteSource,
  open: () => TraceWriter,
  options: ImportOptions,
  head: Uint8Array,
): ImportResult {
  const little = head[0] === 0x50;
  const pipe = headerSize(head, little) === PIPE_HEADER;
  const file = source.readAt === null && !pipe ? spool(source) : source;
  const work = new PerfImport(file.name, file.size, little, open, options);
  try {
    try {
      const { readAt } = file;
      if (pipe) work.readPipe(pipeWindow(file));
      else if (readAt !== null) work.readFile({ name: file.name, size: file.size, readAt });
    } catch (error) {
      work.halt(error);
    }
    return work.finish(file);
  } catch (error) {
    work.abandon();
    throw error;
  } finally {
    if (file !== source) file.close();
  }
}
