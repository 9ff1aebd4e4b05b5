/**
 * trace.dat files made of real ones, for tests and benchmarks: written in the other version, in the other byte order, or
 * with their pages repeated. The pages stay those that a kernel wrote.
 */

import { deflateSync } from 'node:zlib';
import { Growth } from '../../recorder/import/binary/compression.js';
import { CompressedPages, PlainPages } from '../../recorder/import/binary/pages.js';
import { bytesInMemory } from '../../recorder/import/binary/scanner.js';
import { TraceDat } from '../../recorder/import/binary/tracedat.js';

/** Types of section and of option. */
const OPTIONS = 0;
const DONE = 0;

/** Visits the options of a version 7 file: number of each, and where its data is. */
export function walkOptions(bytes: Buffer, first: number, take: (id: number, at: number) => void): void {
  for (let section = first; section !== 0; ) {
    if (bytes.readUInt16LE(section) !== OPTIONS) throw new Error('no options');
    let at = section + 16;
    section = 0;
    for (;;) {
      const id = bytes.readUInt16LE(at);
      if (id === DONE) {
        section = Number(bytes.readBigUInt64LE(at + 6));
        break;
      }
      take(id, at + 6);
      at += 6 + bytes.readUInt32LE(at + 2);
    }
  }
}

/** Pages of each CPU of a file. */
function pagesOf(file: TraceDat): Buffer[][] {
  const [buffer] = file.buffers;
  return (buffer?.cpus ?? []).map((cpu) => {
    const fail = (error: Error): never => {
      throw error;
    };
    const pages =
      file.inflate === null || buffer?.compressed !== true
        ? new PlainPages(file.bytes, cpu, file.pageSize, file.pageSize, fail)
        : new CompressedPages(
            file.bytes,
            cpu,
            file.pageSize,
            file.inflate,
            file.little,
            fail,
            new Growth(),
            file.bytes.size,
          );
    const all: Buffer[] = [];
    while (pages.next()) {
      const page = Buffer.alloc(file.pageSize);
      page.set(new Uint8Array(pages.view.buffer, pages.view.byteOffset + pages.start, pages.end - pages.start));
      all.push(page);
    }
    return all;
  });
}

/** header_page and header_event of tracefs on a 64-bit kernel, as far as readers need them. */
const PAGE_HEADER =
  '\tfield: u64 timestamp;\toffset:0;\tsize:8;\tsigned:0;\n\tfield: local_t commit;\toffset:8;\tsize:8;\tsigned:1;\n' +
  '\tfield: int overwrite;\toffset:8;\tsize:1;\tsigned:1;\n\tfield: char data;\toffset:16;\tsize:4080;\tsigned:0;\n';
const EVENT_HEADER = '# compressed entry header\n';

/** Numbers of a file in its byte order. */
class Writer {
  readonly parts: Buffer[] = [];
  readonly #little: boolean;
  length = 0;

  constructor(little: boolean) {
    this.#little = little;
  }

  bytes(bytes: Uint8Array): this {
    this.parts.push(Buffer.from(bytes));
    this.length += bytes.length;
    return this;
  }

  text(text: string): this {
    return this.bytes(Buffer.from(text, 'latin1'));
  }

  #number(size: number, value: number): this {
    const bytes = Buffer.alloc(size);
    const view = new DataView(bytes.buffer, bytes.byteOffset, size);
    if (size === 2) view.setUint16(0, value, this.#little);
    else if (size === 4) view.setUint32(0, value, this.#little);
    else view.setBigUint64(0, BigInt(value), this.#little);
    return this.bytes(bytes);
  }

  u16(value: number): this {
    return this.#number(2, value);
  }

  u32(value: number): this {
    return this.#number(4, value);
  }

  u64(value: number): this {
    return this.#number(8, value);
  }

  sized(text: string): this {
    return this.u64(text.length).text(text);
  }

  whole(): Buffer {
    return Buffer.concat(this.parts);
  }
}

/** Nanoseconds that the events of one page may span. */
const LONGEST_PAGE = 10_000_000_000n;

/** Times of pages, moved on for each copy, so that the repeated trace is still one in time. */
function movedOn(page: Buffer, by: bigint): Buffer {
  const moved = Buffer.from(page);
  moved.writeBigUInt64LE(moved.readBigUInt64LE(0) + by, 0);
  return moved;
}

/** What a file of version 6 holds. */
export interface Version6 {
  readonly little: boolean;
  readonly pageSize: number;
  readonly formats: readonly { readonly system: string; readonly text: string }[];
  /** Names of threads. */
  readonly commands: Iterable<readonly [number, string]>;
  /** The clock that it was recorded with; `local` without it. */
  readonly clock?: string;
  /** Its name stands behind the table of CPUs, as trace-cmd before 3 writes it, and the option is empty. */
  readonly clockBehind?: boolean;
  /** Pages of each CPU. */
  readonly cpus: readonly (readonly Uint8Array[])[];
}

/** A file of version 6, which is not compressed: trace-cmd.dat.v6(5). */
export function version6({
  little,
  pageSize,
  formats,
  commands,
  clock = 'local',
  clockBehind = false,
  cpus,
}: Version6): Uint8Array {
  const head = new Writer(little)
    .bytes(Buffer.from([0x17, 0x08, 0x44]))
    .text('tracing6\0')
    .bytes(Buffer.from([little ? 0 : 1, 8]))
    .u32(pageSize)
    .text('header_page\0')
    .sized(PAGE_HEADER)
    .text('header_event\0')
    .sized(EVENT_HEADER);
  const systems = [...new Set(formats.map(({ system }) => system))].filter((system) => system !== 'ftrace');
  const ftrace = formats.filter(({ system }) => system === 'ftrace');
  head.u32(ftrace.length);
  for (const { text } of ftrace) head.sized(text);
  head.u32(systems.length);
  for (const system of systems) {
    const own = formats.filter((format) => format.system === system);
    head.text(`${system}\0`).u32(own.length);
    for (const { text } of own) head.sized(text);
  }
  const names = [...commands].map(([pid, name]) => `${pid} ${name}\n`).join('');
  head.u32(0).u32(0).sized(names).u32(cpus.length);
  const option = clockBehind ? '' : `[${clock}]`;
  head.text('options  \0').u16(4).u32(option.length).text(option).u16(0).text('flyrecord\0');
  // what tracefs says, all clocks with the current one in brackets
  const behind = clockBehind ? new Writer(little).sized(`global [${clock}] perf\n`).whole() : Buffer.alloc(0);
  const aligned = (offset: number): number => Math.ceil(offset / pageSize) * pageSize;
  const end = head.length + 16 * cpus.length + behind.length;
  let offset = aligned(end);
  const padding = Buffer.alloc(offset - end);
  for (const pages of cpus) {
    head.u64(offset).u64(pages.length * pageSize);
    offset += pages.length * pageSize;
  }
  head.bytes(behind).bytes(padding);
  for (const page of cpus.flat()) head.bytes(page);
  return head.whole();
}

/**
 * A file of version 6 with the pages of another, `copies` times. With `reorder`, which turns a page around, it is written in
 * the other byte order.
 */
export function asVersion6(
  source: Uint8Array,
  {
    copies = 1,
    clock = 'local',
    clockBehind = false,
    reorder,
  }: {
    copies?: number;
    clock?: string;
    clockBehind?: boolean;
    reorder?: (page: Buffer, file: TraceDat) => Buffer;
  } = {},
): Uint8Array {
  const file = new TraceDat(bytesInMemory(source, 'source'));
  const cpus = pagesOf(file);
  const stamps = BigUint64Array.from(cpus.flat().map((page) => page.readBigUInt64LE(0))).sort();
  const span = (stamps.at(-1) ?? 0n) - (stamps[0] ?? 0n) + LONGEST_PAGE;
  const { pageSize, commands } = file;
  return version6({
    little: reorder === undefined,
    pageSize,
    formats: [...file.formats.all()],
    commands,
    clock,
    clockBehind,
    cpus: cpus.map((pages) =>
      Array.from({ length: copies }, (_, copy) =>
        pages.map((page) => {
          const moved = movedOn(page, span * BigInt(copy));
          return reorder === undefined ? moved : reorder(moved, file);
        }),
      ).flat(),
    ),
  });
}

/** How a file of version 7 is laid. */
export interface Version7 {
  /** CPUs of the host, and which of them the data is of; as many as have data, from 0 on, without it. */
  readonly host?: number;
  readonly numbers?: readonly number[];
  /** Kernel's counters of each CPU are in the options. */
  readonly counted?: boolean;
  /** Names of the buffers, each with all the pages. */
  readonly buffers?: readonly string[];
  /** Clock of each buffer; `local` without it. */
  readonly clocks?: readonly string[];
}

/**
 * A file of version 7 with the formats and pages of another, its sections and pages packed by zlib or not at all, laid
 * as trace-cmd does: what is known before the data in options before it, the data of each CPU at a multiple of the page
 * size, its place in options behind it.
 */
export function asVersion7(source: Uint8Array, packed: boolean, layout: Version7 = {}): Uint8Array {
  const file = new TraceDat(bytesInMemory(source, 'source'));
  const out = new Writer(true)
    .bytes(Buffer.from([0x17, 0x08, 0x44]))
    .text(`tracing7\0\0\x08`)
    .u32(file.pageSize)
    .text(packed ? 'zlib\x001.2.13\0' : 'none\0\0');
  const cpus = pagesOf(file);
  const numbers = layout.numbers ?? cpus.map((_, cpu) => cpu);
  let pointer = out.parts.length;
  out.u64(0);
  let options: [id: number, body: Buffer][] = metadataSections(out, file, packed);
  const host = layout.host ?? cpus.length;
  for (let cpu = 0; layout.counted === true && cpu < host; cpu++) {
    const stat = `CPU: ${cpu}\nentries: 0\noverrun: 0\nread events: ${numbers.includes(cpu) ? 9 : 0}\n\0`;
    options.push([2, Buffer.from(stat)]);
  }
  options.push([8, new Writer(true).u32(host).whole()]);
  const endOptions = (): void => {
    out.parts[pointer] = new Writer(true).u64(out.length).whole();
    options.push([0, Buffer.alloc(8)]);
    const table = new Writer(true);
    for (const [id, body] of options) table.u16(id).u32(body.length).bytes(body);
    const bytes = table.whole();
    out.u16(0).u16(0).u32(0).u64(bytes.length).bytes(bytes.subarray(0, -8));
    pointer = out.parts.length;
    out.u64(0);
    options = [];
  };
  endOptions();
  for (const [i, name] of (layout.buffers ?? ['']).entries()) {
    const clock = layout.clocks?.[i] ?? 'local';
    options.push([3, bufferSection(out, { pages: cpus, numbers, name, clock, packed, pageSize: file.pageSize })]);
    endOptions();
  }
  return out.whole();
}

/** Writes the layouts and formats; returns the options that point to them. */
function metadataSections(out: Writer, file: TraceDat, packed: boolean): [id: number, body: Buffer][] {
  const options: [id: number, body: Buffer][] = [];
  const section = (id: number, fill: (body: Writer) => void): void => {
    const body = new Writer(true);
    fill(body);
    const data = packed ? packChunk(body.whole()) : body.whole();
    options.push([id, new Writer(true).u64(out.length).whole()]);
    out
      .u16(id)
      .u16(packed ? 1 : 0)
      .u32(0)
      .u64(data.length)
      .bytes(data);
  };
  section(16, (body) => body.text('header_page\0').sized(PAGE_HEADER).text('header_event\0').sized(EVENT_HEADER));
  const formats = [...file.formats.all()];
  section(17, (body) => {
    const own = formats.filter(({ system }) => system === 'ftrace');
    body.u32(own.length);
    for (const { text } of own) body.sized(text);
  });
  section(18, (body) => {
    const systems = [...new Set(formats.map(({ system }) => system))].filter((system) => system !== 'ftrace');
    body.u32(systems.length);
    for (const system of systems) {
      const own = formats.filter((format) => format.system === system);
      body.text(`${system}\0`).u32(own.length);
      for (const { text } of own) body.sized(text);
    }
  });
  section(21, (body) => body.sized([...file.commands].map(([pid, name]) => `${pid} ${name}\n`).join('')));
  return options;
}

interface BufferParts {
  readonly pages: readonly (readonly Buffer[])[];
  readonly numbers: readonly number[];
  readonly name: string;
  readonly clock: string;
  readonly packed: boolean;
  readonly pageSize: number;
}

/** Writes the data of a buffer; returns the option that describes it. */
function bufferSection(out: Writer, { pages, numbers, name, clock, packed, pageSize }: BufferParts): Buffer {
  const option = new Writer(true).u64(out.length).text(`${name}\0${clock}\0`).u32(pageSize).u32(pages.length);
  out
    .u16(3)
    .u16(packed ? 1 : 0)
    .u32(0);
  const size = out.parts.length;
  out.u64(0);
  const start = out.length;
  pages.forEach((own, i) => {
    out.bytes(Buffer.alloc((pageSize - (out.length % pageSize)) % pageSize));
    const chunks = new Writer(true).u32(own.length).bytes(Buffer.concat(own.map(packChunk)));
    const data = packed ? chunks.whole() : Buffer.concat(own);
    option
      .u32(numbers[i] ?? i)
      .u64(out.length)
      .u64(data.length);
    out.bytes(data);
  });
  out.parts[size] = new Writer(true).u64(out.length - start).whole();
  return option.whole();
}

/** A packed piece behind its two sizes. */
function packChunk(content: Uint8Array): Buffer {
  const data = deflateSync(content);
  return new Writer(true).u32(data.length).u32(content.length).bytes(data).whole();
}

/** A page in the other byte order: its header, its records' heads, and every field that the event's format describes. */
export function bigEndian(page: Buffer, file: TraceDat): Buffer {
  const turned = Buffer.from(page);
  const swap = (at: number, size: number): void => {
    turned.subarray(at, at + size).reverse();
  };
  swap(0, 8);
  swap(8, 8);
  const end = 16 + (page.readUInt32LE(8) & 0x7ff_ffff);
  for (let at = 16; at + 4 <= end; ) {
    const word = page.readUInt32LE(at);
    const type = word & 31;
    turned.writeUInt32BE(((type << 27) | (word >>> 5)) >>> 0, at);
    const second = at + 8 <= end ? page.readUInt32LE(at + 4) : 0;
    if (type >= 29 || type === 0) swap(at + 4, 4);
    if (type === 30 || type === 31) at += 8;
    else if (type === 29) at += 4 + second;
    else {
      const data = type === 0 ? at + 8 : at + 4;
      const format = file.formats.get(page.readUInt16LE(data));
      for (const field of format?.fields ?? []) {
        const count = field.count ?? 1;
        if (field.size === 0 || count === 0) continue;
        for (let i = 0; i < count; i++) swap(data + field.offset + (i * field.size) / count, field.size / count);
      }
      at = type === 0 ? at + 4 + ((second + 3) & ~3) : data + type * 4;
    }
  }
  return turned;
}
