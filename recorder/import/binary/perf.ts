/**
 * Imports perf.data: file mode and pipe mode, plain and compressed, of either byte order
 * (tools/perf/Documentation/perf.data-file-format.txt, tools/perf/util/session.c).
 */
import type { TraceWriter } from '../../../traces/store.js';
import { ascii } from '../cursor.js';
import { ImportError } from '../errors.js';
import type { ImportOptions, ImportResult } from '../result.js';
import { type ByteSource, spool } from '../source.js';
import { carryOut, type Work } from '../work.js';
import { ZstdStream } from './compression.js';
import { Intake } from './intake.js';
import type { SampleLayout } from './perf-attr.js';
import { FEATURE_BITS, PerfDescription } from './perf-description.js';
import { PerfEvents } from './perf-events.js';
import { PerfQueue } from './perf-queue.js';
import { HEADER, isQueued, LAST_TYPE, numberAt, RECORD } from './perf-records.js';
import { bytesInMemory, type RandomBytes, Scanner } from './scanner.js';
import { fileWindow, pipeWindow, Window } from './window.js';

const FORMAT = 'perf';
const PIPE_HEADER = 16;
/** The text of all event formats and of kallsyms. */
const MAX_BLOCK = 256 << 20;
/** What one compressed record of 64 KiB may become. */
const MAX_INFLATED = 64 << 20;
/** Records from one telling of progress to the next, at the least. */
const PROGRESS = 1 << 14;

const MESSAGE = ascii('[ perf record: ');

class PerfImport implements Work {
  readonly #name: string;
  readonly #little: boolean;
  readonly #intake: Intake;
  readonly #description: PerfDescription;
  readonly #events: PerfEvents;
  readonly #queue: PerfQueue;
  readonly #options: ImportOptions;
  readonly #size: number;
  #inflated: Window | null = null;
  #stream: ZstdStream | null = null;
  /** Records that were read, and how many of them progress was told of. */
  #records = 0;
  #told = 0;

  constructor(name: string, size: number, little: boolean, open: () => TraceWriter, options: ImportOptions) {
    this.#name = name;
    this.#size = size;
    this.#little = little;
    this.#options = options;
    this.#intake = new Intake(open, little, options);
    this.#description = new PerfDescription(little, (error) => this.#intake.damage(error));
    this.#events = new PerfEvents(little, this.#intake, this.#description, (offset) => this.#place(offset));
    const layout = (): SampleLayout | null => this.#description.first?.layout ?? null;
    this.#queue = new PerfQueue(little, layout, (record) => this.#events.take(record));
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
    this.#description.readAttributes(bytes, attributes, attributeSize);
    let end = data.offset + data.size;
    if (data.size === 0) {
      end = bytes.size;
      this.#damage('TRUNCATED', data.offset, 'perf did not end in order: read to the end of the file');
    } else if (end > bytes.size) {
      this.#damage('TRUNCATED', bytes.size, `${end - bytes.size} bytes of data are missing`);
    } else this.#description.readFeatures(bytes, end, features);
    this.#run(fileWindow(bytes, data.offset, Math.min(end, bytes.size)));
  }

  // pipe mode

  readPipe(window: Window): void {
    if (!window.ensure(PIPE_HEADER)) throw new ImportError('TRUNCATED', this.#place(0), 'a header of 16 bytes');
    window.consume(PIPE_HEADER);
    this.#run(window);
  }

  // records

  #run(window: Window): void {
    this.#queue.stayIn(window);
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
      if (type > LAST_TYPE && this.#isMessage(window)) break;
      if (type > LAST_TYPE) {
        this.#damage('CORRUPT', window.offset, `a record of type 0x${type.toString(16)}; what follows cannot be found`);
        break;
      }
      if (!window.ensure(size)) {
        this.#cut(window, size);
        break;
      }
      if (!this.#meta(type, window, size)) break;
      if (this.#records - this.#told < PROGRESS) continue;
      this.#told = this.#records;
      this.#options.progress?.(window.offset, this.#size);
    }
    this.#queue.end();
    this.#events.end();
  }

  /** `perf record -o - 2>&1` mixes what perf says at its end into what it records. */
  #isMessage(window: Window): boolean {
    if (!window.ensure(MESSAGE.length) || MESSAGE.some((byte, i) => window.bytes[window.start + i] !== byte))
      return false;
    const says = `messages of perf from offset ${window.offset} on, where a record would be: they and what follows are left out`;
    this.#intake.trace.notes.add(null, says);
    return true;
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
        const more = size >= 16 ? numberAt(this.#little, window.view, window.start + 8) : 0;
        window.consume(size);
        if (window.skip(more)) return true;
        this.#damage('TRUNCATED', window.offset, 'trace data of a processor is missing');
        return false;
      }
      default:
        this.#take(type, window, size);
        return true;
    }
  }

  /** Takes a record, and those behind it in memory that are to be put into order as well; see PerfQueue.take. */
  #take(type: number, window: Window, size: number, origin = -1): void {
    const queued = isQueued(type) ? this.#queue.take(window, origin) : 0;
    this.#records += Math.max(1, queued);
    if (queued > 0) return;
    this.#record(type, window, size, origin < 0 ? window.offset : origin);
    window.consume(size);
  }

  #record(type: number, { bytes, view, start }: Window, size: number, offset: number): void {
    switch (type) {
      case RECORD.sample:
      case RECORD.lost:
      case RECORD.lostSamples:
      case RECORD.comm:
        // nothing holds back what has no time
        this.#events.take({ view, at: start, size, timeLow: 0, timeHigh: 0, offset });
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
      if (type === RECORD.attribute) this.#description.readAttributeRecord(scanner);
      else if (type === RECORD.eventUpdate) this.#description.readUpdate(scanner);
      else this.#description.readFeatureRecord(scanner);
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
      this.#description.readTracingData(new Scanner(bytesInMemory(body, this.#place(offset)), 0, length, this.#little));
    } catch (error) {
      if (!(error instanceof ImportError)) throw error;
      this.#intake.damage(error);
    }
    return true;
  }

  /** A piece of one zstd stream, whose content is records again; the last may go on in the next piece. */
  #compressed(type: number, window: Window, size: number): boolean {
    const { offset } = window;
    const data = this.#packed(type, window, size);
    const inner = this.#inner();
    const problem =
      data === null ? 'it says more data than it has room for' : (this.#stream?.push(data, MAX_INFLATED) ?? null);
    window.consume(size);
    const whole = this.#unpacked(inner, offset);
    if (problem !== null)
      this.#damage('CORRUPT', offset, `a compressed record: ${problem}; what follows is packed with it`);
    return whole && problem === null;
  }

  /** The data of a compressed record: all of it, or as much as it says. Null where that is more than there is. */
  #packed(type: number, { start, bytes, view }: Window, size: number): Uint8Array | null {
    const [from, to] = [start + HEADER, start + size];
    if (type === RECORD.compressed) return bytes.subarray(from, to);
    const length = size < HEADER + 8 ? Number.POSITIVE_INFINITY : numberAt(this.#little, view, from);
    return from + 8 + length > to ? null : bytes.subarray(from + 8, from + 8 + length);
  }

  /** Takes the records that came out of a compressed one; false where they contradict themselves. */
  #unpacked(inner: Window, offset: number): boolean {
    while (inner.left >= HEADER) {
      const length = inner.view.getUint16(inner.start + 6, this.#little);
      if (length < HEADER) {
        this.#damage('CORRUPT', offset, `a record of ${length} bytes in a compressed one`);
        return false;
      }
      if (inner.left < length) break;
      this.#take(inner.view.getUint32(inner.start, this.#little), inner, length, offset);
    }
    return true;
  }

  #inner(): Window {
    if (this.#inflated !== null) return this.#inflated;
    const inner = new Window(() => 0, 0, 1 << 16);
    this.#queue.stayIn(inner);
    this.#inflated = inner;
    this.#stream = new ZstdStream((data) => inner.push(data));
    return inner;
  }

  halt(error: unknown): void {
    if (!this.#intake.halt(error)) throw error;
  }

  finish(source: ByteSource): ImportResult {
    const { late, rounds } = this.#queue;
    if (late > 0) {
      const why =
        rounds === 0 ? 'the file has no rounds to go by' : 'by more than a round of perf, which waits no longer';
      this.#intake.trace.notes.add(null, `${late} records came so late that later ones stand before them: ${why}`);
    }
    this.#intake.trace.silent = this.#description.silent((id) => this.#intake.isMet(id));
    return this.#intake.finish(source, FORMAT);
  }

  close(): void {
    this.#stream?.close();
  }

  abandon(): void {
    this.#intake.trace.writer?.abandon();
  }
}

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
    return carryOut(work, file, () => {
      const { readAt } = file;
      if (pipe) work.readPipe(pipeWindow(file));
      else if (readAt !== null) work.readFile({ name: file.name, size: file.size, readAt });
    });
  } finally {
    work.close();
    if (file !== source) file.close();
  }
}
