/**
 * Symbols of an ELF file of 32 or 64 bits: .symtab, else .dynsym. Facts: "Tool Interface Standard (TIS) Executable and
 * Linking Format", version 1.2, and "ELF-64 Object File Format", version 1.5.
 */
import { type SymbolTable, SymbolTableBuilder } from './table.js';

/** A file of any size, of which only what is needed is read. */
export interface ByteSource {
  readonly size: number;
  /** `length` bytes from `at`, or fewer where the file ends. */
  read(at: number, length: number): Uint8Array;
}

export const bytesSource = (bytes: Uint8Array): ByteSource => ({
  size: bytes.length,
  read: (at, length) => bytes.subarray(Math.min(at, bytes.length), Math.min(at + length, bytes.length)),
});

export interface ElfSymbols {
  readonly table: SymbolTable;
  /** The file is linked to be loaded anywhere (ET_DYN): its addresses count from where it was loaded. */
  readonly movable: boolean;
}

/** Why a file cannot be used. */
export class ElfFault extends Error {}

const MAGIC = [0x7f, 0x45, 0x4c, 0x46];
const TYPE = { relocatable: 1, executable: 2, dynamic: 3 } as const;
const X86_MACHINES = [3, 6, 62];
const SECTION = { symbols: 2, strings: 3, dynamic: 11 } as const;
const EXECUTABLE = 4;
const KIND = { none: 0, object: 1, code: 2, indirect: 10 } as const;
const BIND = { local: 0, weak: 2 } as const;
/** Section indices that are no sections: absolute, common. */
const RESERVED = 0xff00;
const MORE_SECTIONS = 0xffff;

const MOST_SECTIONS = 1 << 20;
const MOST_SYMBOLS = 1 << 23;
const MOST_STRINGS = 1 << 30;
const LONGEST_NAME = 512;

export const isElf = (source: ByteSource): boolean => {
  const head = source.read(0, MAGIC.length);
  return MAGIC.every((byte, i) => head[i] === byte);
};

/** Reads numbers of the file's width and byte order; everything is bounded by the bytes that are there. */
class ElfView {
  readonly wide: boolean;
  readonly #little: boolean;

  constructor(wide: boolean, little: boolean) {
    this.wide = wide;
    this.#little = little;
  }

  over(bytes: Uint8Array): { u16(at: number): number; u32(at: number): number; word(at: number): bigint } {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return {
      u16: (at) => view.getUint16(at, this.#little),
      u32: (at) => view.getUint32(at, this.#little),
      word: (at) => (this.wide ? view.getBigUint64(at, this.#little) : BigInt(view.getUint32(at, this.#little))),
    };
  }
}

interface Section {
  readonly type: number;
  readonly executable: boolean;
  readonly offset: number;
  readonly size: number;
  readonly link: number;
  readonly entry: number;
}

function readWhole(source: ByteSource, what: string, at: number, length: number): Uint8Array {
  const bytes = source.read(at, length);
  if (bytes.length < length) throw new ElfFault(`${what} lies beyond the end of the file`);
  return bytes;
}

/** An offset or size that a file of the host's size can have. */
function bounded(value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ElfFault(`${what} lies beyond the end of the file`);
  return Number(value);
}

function readSections(source: ByteSource, elf: ElfView, header: Uint8Array): Section[] {
  const head = elf.over(header);
  const offset = bounded(head.word(elf.wide ? 40 : 32), 'its section table');
  const [entry, count] = [head.u16(elf.wide ? 58 : 46), head.u16(elf.wide ? 60 : 48)];
  const least = elf.wide ? 64 : 40;
  if (offset === 0) return [];
  if (entry < least) throw new ElfFault('its section headers are too short');
  const first = sectionAt(elf, readWhole(source, 'its section table', offset, entry));
  const total = count === 0 ? first.size : count; // 65,280 sections or more: the first one says how many
  if (total > MOST_SECTIONS) throw new ElfFault(`it has ${total} sections`);
  const table = readWhole(source, 'its section table', offset, total * entry);
  return Array.from({ length: total }, (_, i) => sectionAt(elf, table.subarray(i * entry, (i + 1) * entry)));
}

function sectionAt(elf: ElfView, bytes: Uint8Array): Section {
  const { u32, word } = elf.over(bytes);
  const at = elf.wide
    ? { flags: 8, offset: 24, size: 32, link: 40, entry: 56 }
    : { flags: 8, offset: 16, size: 20, link: 24, entry: 36 };
  return {
    type: u32(4),
    executable: (Number(word(at.flags) & 0xffn) & EXECUTABLE) !== 0,
    offset: bounded(word(at.offset), 'a section'),
    size: bounded(word(at.size), 'a section'),
    link: u32(at.link),
    entry: bounded(word(at.entry), 'a section'),
  };
}

/** Symbols of an ELF file. Throws ElfFault where it has none that can be read. */
export function readElfSymbols(source: ByteSource): ElfSymbols {
  const ident = source.read(0, 16);
  const [width, order] = [ident[4], ident[5]];
  if ((width !== 1 && width !== 2) || (order !== 1 && order !== 2)) throw new ElfFault('its header is damaged');
  const elf = new ElfView(width === 2, order === 1);
  const header = readWhole(source, 'its header', 0, elf.wide ? 64 : 52);
  const head = elf.over(header);
  if (!X86_MACHINES.includes(head.u16(18))) throw new ElfFault(`it is for machine ${head.u16(18)}, not for x86`);
  if (head.u16(16) === TYPE.relocatable) throw new ElfFault('it is not linked, so that its addresses are not known');
  const sections = readSections(source, elf, header);
  const table =
    sections.find(({ type }) => type === SECTION.symbols) ?? sections.find(({ type }) => type === SECTION.dynamic);
  if (table === undefined) throw new ElfFault('it has no symbol table (stripped)');
  return { table: readTable(source, elf, sections, table), movable: head.u16(16) === TYPE.dynamic };
}

function readTable(source: ByteSource, elf: ElfView, sections: readonly Section[], table: Section): SymbolTable {
  const least = elf.wide ? 24 : 16;
  if (table.entry < least) throw new ElfFault('its symbols are too short');
  const count = Math.floor(table.size / table.entry);
  if (count > MOST_SYMBOLS) throw new ElfFault(`it has ${count} symbols`);
  const strings = sections[table.link];
  if (strings === undefined || strings.type !== SECTION.strings) throw new ElfFault('its symbols have no names');
  if (strings.size > MOST_STRINGS) throw new ElfFault(`its names are ${strings.size} bytes long`);
  const names = readWhole(source, 'its table of names', strings.offset, strings.size);
  const bytes = readWhole(source, 'its symbol table', table.offset, count * table.entry);
  const { u16, u32, word } = elf.over(bytes);
  const at = elf.wide ? { info: 4, section: 6, value: 8, size: 16 } : { info: 12, section: 14, value: 4, size: 8 };
  const builder = new SymbolTableBuilder();
  const nameAt: number[] = [];
  for (let base = table.entry; base + table.entry <= bytes.length; base += table.entry) {
    const name = u32(base);
    const index = u16(base + at.section);
    const info = bytes[base + at.info] ?? 0;
    if (name === 0 || index === 0 || (index >= RESERVED && index !== MORE_SECTIONS)) continue;
    const code = isCode(info & 15, sections[index]);
    if (code === null) continue;
    const bind = info >> 4;
    builder.add(word(base + at.value), {
      size: word(base + at.size),
      code,
      rank: bind === BIND.weak ? 0 : bind === BIND.local ? 1 : 2,
    });
    nameAt.push(name);
  }
  return builder.build((index) => nameIn(names, nameAt[index] ?? 0));
}

/** Whether a symbol of that type is code; null where it has no address of its own (sections, files, thread storage). */
function isCode(type: number, section: Section | undefined): boolean | null {
  if (type === KIND.code || type === KIND.indirect) return true;
  if (type === KIND.none) return section?.executable === true;
  return type === KIND.object ? false : null;
}

const decoder = new TextDecoder('utf-8', { fatal: false });

/** The name that begins at an offset of the table of names; bounded. */
function nameIn(names: Uint8Array, at: number): string {
  const end = names.subarray(at, at + LONGEST_NAME).indexOf(0);
  return decoder.decode(names.subarray(at, end < 0 ? at + LONGEST_NAME : at + end));
}
