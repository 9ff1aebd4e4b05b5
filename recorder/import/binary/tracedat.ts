/**
 * trace.dat of trace-cmd, versions 6 and 7 (trace-cmd.dat.v6(5), trace-cmd.dat.v7(5)): where its parts lie. Sizes and
 * offsets are checked against the file before anything is read from them.
 */
import { ImportError } from '../errors.js';
import { type Buffer, type CpuData, inferBuffer } from './buffers.js';
import type { TscClock } from './clock.js';
import { INFLATE, type Inflate } from './compression.js';
import { Formats } from './formats.js';
import {
  defaultPage,
  type PageLayout,
  readCommands,
  readEventFormats,
  readFtraceFormats,
  readHeaderInfo,
} from './metadata.js';
import { clockOf, type Guest, integerOf, readGuest, readSized, textOf } from './options.js';
import { bytesInMemory, type RandomBytes, Scanner } from './scanner.js';
import { endOf, SECTION, SECTION_COMPRESSED, SECTION_HEAD, type Section, walkSections } from './sections.js';

/** Sections of formats and commands are some MiB at the most; what announces more is refused. */
const MAX_SECTION = 64 << 20;
const MAX_PAGE = 1 << 20;
/** Compressed sections in all. */
const MAX_UNPACKED = 256 << 20;
/** Problems that one error tells of. */
const MAX_SAID = 3;
/** struct trace_option ids (trace-cmd.dat.v7(5), "OPTIONS SECTION"). */
const OPTION = {
  done: 0,
  date: 1,
  cpuStat: 2,
  buffer: 3,
  traceClock: 4,
  offset: 7,
  cpuCount: 8,
  timeShift: 12,
  guest: 13,
  tscToNs: 14,
  bufferText: 22,
} as const;
/** Sections that an option of the same number points to, as far as they are read. */
const PARTS: ReadonlySet<number> = new Set([
  SECTION.headerInfo,
  SECTION.ftraceEvents,
  SECTION.eventFormats,
  SECTION.commands,
]);

export class TraceDat {
  readonly bytes: RandomBytes;
  readonly little: boolean;
  readonly version: number;
  readonly longSize: number;
  readonly pageSize: number;
  readonly inflate: Inflate | null;
  readonly formats = new Formats();
  page: PageLayout;
  readonly commands = new Map<number, string>();
  readonly buffers: Buffer[] = [];
  readonly guests: Guest[] = [];
  /** Events that the kernel's own counters say it overwrote or dropped, by CPU. */
  readonly lost = new Map<number, number>();
  /** What is wrong with the file beside which it was read, and how what is missing was made good. */
  readonly problems: ImportError[] = [];
  readonly inferred: string[] = [];
  /** Added to every time stamp, in nanoseconds. */
  timeOffset = 0n;
  tsc: TscClock | null = null;
  clock = '';
  /** The recorder measured how this guest's clock runs against its host's. */
  hasTimeShift = false;
  hasText = false;
  /** The option of the clock is empty: its name stands elsewhere. */
  #clockFollows = false;
  #cpuCount = 0;
  /** CPUs that have events by the kernel's own counters: of the top buffer, then of each instance. */
  readonly #counted: number[][] = [[]];
  /** Offsets of the sections that were read. */
  readonly #read = new Set<number>();
  /** Bytes that sections, options and tables may still take: a file that has each of its bytes read twice names them twice. */
  #room: number;
  #unpackRoom = MAX_UNPACKED;

  constructor(bytes: RandomBytes) {
    this.bytes = bytes;
    this.#room = 2 * bytes.size;
    const start = new Scanner(bytes, 10, bytes.size, true);
    this.version = Number(start.string('version', 8));
    if (this.version !== 6 && this.version !== 7) {
      throw new ImportError('UNSUPPORTED', start.where(), `trace.dat of version ${this.version}; 6 and 7 are read`);
    }
    const endian = start.u8('byte order');
    if (endian > 1) throw start.corrupt(`byte order ${endian}`);
    this.little = endian === 0;
    const scanner = this.scan(start.at, bytes.size);
    this.longSize = scanner.u8('size of a long');
    if (this.longSize !== 4 && this.longSize !== 8) throw scanner.corrupt(`a long of ${this.longSize} bytes`);
    this.page = defaultPage(this.longSize);
    this.pageSize = this.#checkedPage(scanner, scanner.u32('page size'));
    if (this.version === 6) {
      this.inflate = null;
      this.#readVersion6(scanner);
    } else {
      const name = scanner.string('compression', 32);
      scanner.string('compression version', 64);
      const inflate = name === 'none' ? null : INFLATE.get(name);
      if (inflate === undefined) throw new ImportError('UNSUPPORTED', scanner.where(), `compression '${name}'`);
      this.inflate = inflate;
      const first = scanner.u64('offset of the options');
      this.#readVersion7(first, scanner.at);
    }
  }

  scan(from: number, to: number, bytes = this.bytes): Scanner {
    return new Scanner(bytes, from, to, this.little);
  }

  #spend(scanner: Scanner, size: number, what: string): void {
    this.#room -= size;
    if (this.#room < 0) throw scanner.corrupt(`${what} that was read before`);
  }

  #checkedPage(scanner: Scanner, size: number): number {
    if (size < 64 || size > MAX_PAGE || (size & (size - 1)) !== 0) throw scanner.corrupt(`pages of ${size} bytes`);
    return size;
  }

  #readVersion6(scanner: Scanner): void {
    this.page = readHeaderInfo(scanner, this.longSize);
    readFtraceFormats(scanner, this.formats);
    readEventFormats(scanner, this.formats);
    scanner.skip(scanner.u32('size of kallsyms'), 'kallsyms');
    scanner.skip(scanner.u32('size of printk formats'), 'printk formats');
    this.#readCommands(scanner);
    this.#cpuCount = scanner.u32('number of CPUs');
    const instances: { readonly at: number; readonly name: string }[] = [];
    let tag = scanner.text(10, 'type of data');
    if (tag.startsWith('options')) {
      for (let id = scanner.u16('an option'); id !== OPTION.done; id = scanner.u16('an option')) {
        const option = this.#option(scanner, scanner.u32('size of an option'), `option ${id}`);
        if (id === OPTION.buffer) instances.push({ at: option.u64('offset of a buffer'), name: textOf(option) });
        else this.#readOption(id, option);
      }
      tag = scanner.text(10, 'type of data');
    }
    const top = this.#version6Buffer(scanner, tag, '');
    if (this.#clockFollows) this.#readClock(scanner);
    this.buffers.push({ ...top, clock: this.clock });
    for (const { at, name } of instances) {
      const part = this.scan(at, this.bytes.size);
      this.buffers.push(this.#version6Buffer(part, part.text(10, 'type of data'), name));
    }
  }

  #version6Buffer(scanner: Scanner, tag: string, name: string): Buffer {
    if (tag.startsWith('latency')) throw latency(scanner);
    if (!tag.startsWith('flyrecord')) throw scanner.corrupt(`'${tag}' where the type of data must be`);
    this.#spend(scanner, 16 * this.#cpuCount, 'a buffer');
    const cpus: CpuData[] = [];
    for (let cpu = 0; cpu < this.#cpuCount; cpu++) {
      cpus.push({ cpu, offset: scanner.u64('offset of a CPU'), size: scanner.u64('size of a CPU') });
    }
    return { name, clock: this.clock, pageSize: this.pageSize, compressed: false, cpus, numbered: true };
  }

  /** The clock, which trace-cmd before 3 writes behind the top buffer's table; where it wrote something else, it reads `local`. */
  #readClock(scanner: Scanner): void {
    const { at } = scanner;
    const text = readSized(scanner, 'the clock');
    this.clock = clockOf(text ?? '') || 'local';
    if (text === null) this.inferred.push(`no name of a clock at offset ${at}: taken as local`);
  }

  #readVersion7(first: number, behindHead: number): void {
    this.#tolerate(() => this.#followOptions(first));
    const sections = walkSections(this.bytes, behindHead, this.little);
    const cut = endOf(this.bytes, sections, this.problems.length > 0);
    if (cut !== null && this.problems.every(({ code }) => code === 'TRUNCATED'))
      this.problems.splice(0, this.problems.length, cut);
    // `trace-cmd convert` of 3.1 writes the pages of some files and leaves out where they are
    if (first === 0 || this.problems.length > 0 || this.buffers.length === 0) this.#readLeft(sections);
    const [problem] = this.problems;
    if (this.buffers.length > 0 || problem === undefined) return;
    const all = this.problems.slice(0, MAX_SAID).map(({ why }) => why ?? '');
    throw new ImportError(problem.code, problem.where, all.join('; '));
  }

  /** Does what may fail without an end to all reading, as long as the file does not ask for ever more. */
  #tolerate(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof ImportError) || this.#room < 0 || this.#unpackRoom < 0) throw error;
      this.problems.push(error);
    }
  }

  #followOptions(first: number): void {
    for (let at = first; at !== 0; ) {
      if (this.#read.has(at)) throw this.scan(at, this.bytes.size).corrupt('options that follow themselves');
      at = this.#readOptions(at);
    }
  }

  /** Reads a section of options; returns where the next one is, 0 where there is none. */
  #readOptions(at: number): number {
    const options = this.#section(at, SECTION.options, 'options');
    while (options.left >= 2) {
      const id = options.u16('an option');
      const option = this.#option(options, options.u32('size of an option'), `option ${id}`);
      if (id === OPTION.done) return option.left < 8 ? 0 : option.u64('offset of more options');
      this.#tolerate(() => this.#readOption(id, option));
    }
    return 0;
  }

  /** Reads the sections that no option led to. */
  #readLeft(sections: readonly Section[]): void {
    let buffers = 0;
    for (const section of sections) {
      const { at, id } = section;
      const isBuffer = id === SECTION.buffer;
      if (!this.#read.has(at)) {
        if (isBuffer && section.end > section.data) this.#takeInferred(section, this.#counted[buffers] ?? []);
        else if (id === SECTION.bufferText) this.hasText = true;
        else if (id === SECTION.options) this.#tolerate(() => this.#readOptions(at));
        else this.#tolerate(() => this.#readPart(at, id));
      }
      if (isBuffer) buffers += 1;
    }
  }

  #takeInferred(section: Section, counted: readonly number[]): void {
    const { buffer, says, problem } = inferBuffer(this, section, { counted, count: this.#cpuCount });
    if (buffer !== null) this.buffers.push(buffer);
    if (says !== null) this.inferred.push(says);
    if (problem !== null) this.problems.push(problem);
  }

  #option(scanner: Scanner, size: number, what: string): Scanner {
    if (size > MAX_SECTION) throw scanner.corrupt(`${what} of ${size} bytes`);
    if (size > scanner.left) throw scanner.truncated(what, size);
    this.#spend(scanner, size, what);
    const at = scanner.at;
    const bytes = scanner.bytes(size, what);
    return this.scan(0, size, bytesInMemory(bytes, `${this.bytes.name}, ${what} at ${at}`));
  }

  /** A section of version 7, decompressed if it is compressed. */
  #section(at: number, id: number, what: string): Scanner {
    this.#read.add(at);
    const scanner = this.scan(at, this.bytes.size);
    const found = scanner.u16(`section of ${what}`);
    const flags = scanner.u16(`flags of ${what}`);
    scanner.skip(4, `name of ${what}`);
    const size = scanner.u64(`size of ${what}`);
    if (found !== id) throw scanner.corrupt(`section ${found} where the ${what} must be`);
    if ((flags & SECTION_COMPRESSED) === 0) {
      this.#spend(scanner, Math.min(size, scanner.left), what);
      return this.scan(scanner.at, scanner.at + size);
    }
    const packed = scanner.u32(`compressed size of ${what}`);
    const unpacked = scanner.u32(`size of ${what}`);
    this.#unpackRoom -= unpacked;
    if (unpacked > MAX_SECTION || this.#unpackRoom < 0) throw scanner.corrupt(`${what} of ${unpacked} bytes`);
    const start = scanner.at;
    const target = new Uint8Array(unpacked);
    const problem = this.inflate?.(scanner.bytes(packed, what), target) ?? null;
    if (this.inflate === null || problem !== null) {
      scanner.at = start;
      throw scanner.corrupt(`${what}: ${problem ?? 'compressed in a file without compression'}`);
    }
    return this.scan(0, unpacked, bytesInMemory(target, `${this.bytes.name}, ${what} at ${at}`));
  }

  #readOption(id: number, option: Scanner): void {
    switch (id) {
      case OPTION.date: // microseconds
        this.timeOffset += 1000n * integerOf(textOf(option));
        return;
      case OPTION.offset:
        this.timeOffset += integerOf(textOf(option));
        return;
      case OPTION.cpuStat:
        this.#readStat(textOf(option));
        return;
      case OPTION.buffer:
        this.#readBuffer(option);
        return;
      case OPTION.traceClock:
        this.clock = clockOf(textOf(option));
        this.#clockFollows = this.clock === '';
        return;
      case OPTION.cpuCount:
        if (this.version === 7) this.#cpuCount = option.u32('number of CPUs');
        return;
      case OPTION.timeShift:
        this.hasTimeShift = true;
        return;
      case OPTION.guest:
        this.guests.push(readGuest(option));
        return;
      case OPTION.tscToNs: {
        const multiplier = BigInt(option.u32('clock multiplier'));
        const shift = BigInt(option.u32('clock shift'));
        if (multiplier > 0n && shift < 64n) this.tsc = { multiplier, shift };
        return;
      }
      case OPTION.bufferText:
        this.hasText = true;
        return;
      default:
        this.#readPointer(id, option);
    }
  }

  /** Options of version 7 that say where a section is. */
  #readPointer(id: number, option: Scanner): void {
    if (this.version === 7 && PARTS.has(id)) this.#readPart(option.u64(`offset of section ${id}`), id);
  }

  #readPart(at: number, id: number): void {
    const section = (what: string): Scanner => this.#section(at, id, what);
    if (id === SECTION.headerInfo) this.page = readHeaderInfo(section('the page header'), this.longSize);
    else if (id === SECTION.ftraceEvents) readFtraceFormats(section('the ftrace formats'), this.formats);
    else if (id === SECTION.eventFormats) readEventFormats(section('the event formats'), this.formats);
    else if (id === SECTION.commands) this.#readCommands(section('the saved commands'));
  }

  #readCommands(scanner: Scanner): void {
    const size = scanner.u64('size of the saved commands');
    if (size > MAX_SECTION) throw scanner.corrupt(`saved commands of ${size} bytes`);
    readCommands(scanner.text(size, 'the saved commands'), this.commands);
  }

  #readStat(text: string): void {
    if (/^\s*Buffer: /.test(text)) {
      this.#counted.push([]);
      return;
    }
    const number = (name: RegExp): number => Number(name.exec(text)?.[1] ?? 0);
    const cpu = number(/^CPU: (\d+)/m);
    if (number(/^entries: (\d+)/m) + number(/^read events: (\d+)/m) > 0) this.#counted.at(-1)?.push(cpu);
    const lost = (this.lost.get(cpu) ?? 0) + number(/^overrun: (\d+)/m) + number(/^dropped events: (\d+)/m);
    if (lost > 0 && Number.isSafeInteger(lost)) this.lost.set(cpu, lost);
  }

  #readBuffer(option: Scanner): void {
    const at = option.u64('offset of a buffer');
    const name = option.string('name of a buffer');
    const clock = option.string('clock of a buffer');
    const pageSize = this.#checkedPage(option, option.u32('page size of a buffer'));
    const count = option.u32('CPUs of a buffer');
    const section = this.scan(at, this.bytes.size);
    const id = section.u16('section of a buffer');
    if (id !== OPTION.buffer) throw section.corrupt(`section ${id} where a buffer must be`);
    const compressed = (section.u16('flags of a buffer') & SECTION_COMPRESSED) !== 0;
    if (compressed && this.inflate === null) throw section.corrupt('compressed in a file without compression');
    const cpus: CpuData[] = [];
    for (let i = 0; i < count; i++) {
      cpus.push({
        cpu: option.u32('a CPU'),
        offset: option.u64('offset of a CPU'),
        size: option.u64('size of a CPU'),
      });
    }
    // the section is left for its data to be made out without this
    const astray = cpus.find(
      ({ offset, size }) => size > 0 && (offset < at + SECTION_HEAD || offset >= this.bytes.size),
    );
    if (astray !== undefined)
      throw option.corrupt(`data of CPU ${astray.cpu} at ${astray.offset}, outside of its buffer at ${at}`);
    this.buffers.push({ name, clock, pageSize, compressed, cpus, numbered: true });
    this.#read.add(at);
  }
}

export const latency = (scanner: Scanner): ImportError =>
  new ImportError(
    'UNSUPPORTED',
    scanner.where(),
    'text of a latency tracer, not records',
    'run `trace-cmd report FILE | trapline import -`',
  );
