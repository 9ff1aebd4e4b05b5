/**
 * What a perf.data says of its events, as sections of a file or as records of a pipe: attributes, ids, names, and the
 * formats of tracepoints (tools/perf/Documentation/perf.data-file-format.txt).
 */
import { ImportError } from '../errors.js';
import { Formats } from './formats.js';
import { readEventFormats, readFtraceFormats, readHeaderInfo } from './metadata.js';
import { type Attribute, readAttribute, TRACEPOINT } from './perf-attr.js';
import { recordsAll } from './perf-command.js';
import { type RandomBytes, Scanner } from './scanner.js';

const FEATURE_TRACING_DATA = 1;
const FEATURE_CMDLINE = 11;
const FEATURE_EVENT_DESC = 12;
/** Words of a command that are looked at. */
const MOST_WORDS = 1 << 16;
export const FEATURE_BITS = 256;
const UPDATE_NAME = 2;
/** Names of events that never came; kernels have some thousands of tracepoints. */
const MOST_SILENT = 4096;

export interface Section {
  readonly offset: number;
  readonly size: number;
}

export class PerfDescription {
  readonly formats = new Formats();
  readonly attributes: Attribute[] = [];
  readonly #little: boolean;
  readonly #damage: (error: ImportError) => void;
  /** Attributes by id, as a number where it is exact. */
  readonly #byId = new Map<number | bigint, Attribute>();
  /** The file has the command that recorded it, and that left out nothing. */
  #recordsAll = false;

  constructor(little: boolean, damage: (error: ImportError) => void) {
    this.#little = little;
    this.#damage = damage;
  }

  /** The attribute that all others agree with on where their time lies; null before there is one. */
  get first(): Attribute | null {
    return this.attributes[0] ?? null;
  }

  /** Where the identity of a sample lies that tells which event it is of; -1 where there is none, or one event. */
  get idAt(): number {
    const first = this.attributes[0];
    return first === undefined || this.attributes.length === 1 ? -1 : first.layout.id;
  }

  /** Of tracepoints only the newest events are there, as many as a ring holds. */
  get isOverwritten(): boolean {
    return this.attributes.some(({ type, isOverwritten }) => type === TRACEPOINT && isOverwritten);
  }

  /** Names, as `system:name`, of the tracepoints that the file says it has every event of, but for those that were met. */
  silent(isMet: (id: number) => boolean): string[] {
    if (!this.#recordsAll) return [];
    const ids = this.attributes.flatMap(({ type, id, isWhole }) => (type === TRACEPOINT && isWhole ? [id] : []));
    const formats = [...new Set(ids)].flatMap((id) => (isMet(id) ? [] : (this.formats.get(id) ?? [])));
    return formats.slice(0, MOST_SILENT).map(({ system, name }) => `${system}:${name}`);
  }

  /** The event that a sample is of; null where its id is none that the file knows. */
  ofSample(view: DataView, at: number, size: number): Attribute | null {
    const id = this.idAt;
    if (id < 0 || id + 8 > size) return this.first;
    const low = view.getUint32(at + id + (this.#little ? 0 : 4), this.#little);
    const high = view.getUint32(at + id + (this.#little ? 4 : 0), this.#little);
    const exact = high < EXACT;
    return this.#byId.get(exact ? high * 0x1_0000_0000 + low : (BigInt(high) << 32n) | BigInt(low)) ?? null;
  }

  /** Of two attributes of one id the first holds, as of two formats. */
  #name(id: bigint, attribute: Attribute): void {
    if (!this.#byId.has(keyOf(id))) this.#byId.set(keyOf(id), attribute);
  }

  /** The attributes of file mode, of `each` bytes. */
  readAttributes(bytes: RandomBytes, { offset, size }: Section, each: number): void {
    if (each < 80 || each > 4096) {
      throw new ImportError('CORRUPT', `${bytes.name} (offset 16)`, `attributes of ${each} bytes`);
    }
    let room = bytes.size;
    for (let at = offset; at + each <= offset + size; at += each) {
      const scanner = new Scanner(bytes, at, at + each, this.#little);
      const attribute = this.#add(readAttribute(scanner, each - 16));
      const ids = { offset: scanner.u64('offset of ids'), size: scanner.u64('size of ids') };
      room -= ids.size;
      if (room < 0) throw scanner.corrupt('ids that other attributes have');
      const list = new Scanner(bytes, ids.offset, ids.offset + ids.size, this.#little);
      while (list.left >= 8) this.#name(list.big('an id'), attribute);
    }
  }

  #add(attribute: Attribute): Attribute {
    this.attributes.push(attribute);
    return attribute;
  }

  /** The table of features lies behind the data, one entry for each bit that is set. */
  readFeatures(bytes: RandomBytes, at: number, bits: Uint8Array): void {
    const table = new Scanner(bytes, at, bytes.size, this.#little);
    try {
      for (let feature = 0; feature < FEATURE_BITS; feature++) {
        // an array of 64-bit words
        const byte = this.#little ? feature >> 3 : ((feature >> 6) << 3) + (7 - ((feature & 63) >> 3));
        if (((bits[byte] ?? 0) & (1 << (feature & 7))) === 0) continue;
        const offset = table.u64('offset of a feature');
        const size = table.u64('size of a feature');
        const data = new Scanner(bytes, offset, offset + size, this.#little);
        if (data.left < size) throw data.truncated('a feature', size);
        this.#readFeature(feature, data);
      }
    } catch (error) {
      if (!(error instanceof ImportError)) throw error;
      this.#damage(error);
    }
  }

  #readFeature(feature: number, scanner: Scanner): void {
    if (feature === FEATURE_TRACING_DATA) this.readTracingData(scanner);
    else if (feature === FEATURE_EVENT_DESC) this.#readDescriptions(scanner);
    else if (feature === FEATURE_CMDLINE) this.#readCommand(scanner);
  }

  #readCommand(scanner: Scanner): void {
    const count = scanner.u32('number of words of a command');
    if (count > MOST_WORDS) return;
    const words = Array.from({ length: count }, () =>
      scanner.text(scanner.u32('length of a word'), 'a word of a command'),
    );
    this.#recordsAll = recordsAll(words);
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
      const known = this.attributes[i];
      if (known !== undefined && known.type === again.type && known.config === again.config) known.name = name;
      scanner.skip(8 * ids, 'ids of an event');
    }
  }

  /** The block that trace-event-read.c reads: like version 6 of trace.dat up to the formats. */
  readTracingData(scanner: Scanner): void {
    const magic = scanner.bytes(10, 'tracing data');
    if (magic[0] !== 0x17 || magic[1] !== 0x08 || magic[2] !== 0x44) throw scanner.corrupt('no tracing data');
    scanner.string('version of the tracing data', 16);
    const little = scanner.u8('byte order of the tracing data') === 0;
    if (little !== this.#little) throw scanner.corrupt('tracing data of another byte order');
    const longSize = scanner.u8('size of a long');
    scanner.skip(4, 'page size');
    readHeaderInfo(scanner, longSize);
    readFtraceFormats(scanner, this.formats);
    readEventFormats(scanner, this.formats);
  }

  /** An attribute of pipe mode, with its ids. */
  readAttributeRecord(scanner: Scanner): void {
    const attribute = this.#add(readAttribute(scanner, null));
    while (scanner.left >= 8) this.#name(scanner.big('an id'), attribute);
  }

  /** A name of pipe mode. */
  readUpdate(scanner: Scanner): void {
    const what = scanner.u64('kind of an update');
    const attribute = this.#byId.get(keyOf(scanner.big('id of an update')));
    if (what === UPDATE_NAME && attribute !== undefined) attribute.name = scanner.string('name of an event');
  }

  readFeatureRecord(scanner: Scanner): void {
    this.#readFeature(scanner.u64('a feature'), scanner);
  }
}

/** Halves of 64 bits above this make no exact number. */
const EXACT = 1 << 21;
const keyOf = (id: bigint): number | bigint => (id <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(id) : id);
