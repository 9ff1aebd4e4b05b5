/**
 * Sections of a trace.dat of version 7 as writers lay them: one behind the other, each behind a head of 16 bytes
 * (trace-cmd.dat.v7(5), "FORMAT OF THE SECTION HEADER"). Where a file was cut they are found without the options that
 * point to them.
 */
import { ImportError } from '../errors.js';
import { type RandomBytes, Scanner } from './scanner.js';

export const SECTION_HEAD = 16;
export const SECTION_COMPRESSED = 1;
/** Sections are some dozens at the most: a few for each buffer instance. */
const MOST = 4096;

export const SECTION = {
  options: 0,
  buffer: 3,
  strings: 15,
  headerInfo: 16,
  ftraceEvents: 17,
  eventFormats: 18,
  kallsyms: 19,
  printk: 20,
  commands: 21,
  bufferText: 22,
  btf: 23,
  modules: 25,
} as const;

/** What people call the sections. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [SECTION.options, 'the options'],
  [SECTION.buffer, 'the pages of a buffer'],
  [SECTION.strings, 'the names of its sections'],
  [SECTION.headerInfo, 'the layout of pages'],
  [SECTION.ftraceEvents, 'the formats of ftrace events'],
  [SECTION.eventFormats, 'the formats of events'],
  [SECTION.kallsyms, 'the symbols of the kernel'],
  [SECTION.printk, 'the formats of trace_printk'],
  [SECTION.commands, 'the names of tasks'],
  [SECTION.bufferText, 'the text of a buffer'],
  [SECTION.btf, 'the types of the kernel'],
  [SECTION.modules, 'the modules of the kernel'],
]);

export interface Section {
  /** Offset of its head, and of what is behind it. */
  readonly at: number;
  readonly data: number;
  /** First byte behind it; beyond the end of the file where that was cut. */
  readonly end: number;
  readonly id: number;
  readonly compressed: boolean;
  readonly name: string;
}

/** Reads the head at an offset; null where there can be none. */
function sectionAt(bytes: RandomBytes, at: number, little: boolean): Section | null {
  const scanner = new Scanner(bytes, at, bytes.size, little);
  if (scanner.left < SECTION_HEAD) return null;
  const id = scanner.u16('a section');
  const flags = scanner.u16('flags of a section');
  scanner.skip(4, 'name of a section');
  const size = scanner.big('size of a section');
  const name = NAMES.get(id);
  if (name === undefined || flags > SECTION_COMPRESSED || size > BigInt(Number.MAX_SAFE_INTEGER) / 2n) return null;
  // its size is written when all of it is
  if (size === 0n && id !== SECTION.buffer) return null;
  const data = at + SECTION_HEAD;
  const compressed = flags === SECTION_COMPRESSED;
  return { at, data, end: data + Number(size), id, compressed, name };
}

/** A section whose head the end of the file cuts: it is not known of what. */
const cutHead = (at: number): Section => ({
  ...{ at, data: at + SECTION_HEAD, end: at + SECTION_HEAD },
  ...{ id: -1, compressed: false, name: 'the head of a section' },
});

/** The sections from an offset on, up to where none can be. The last may end beyond the file. */
export function walkSections(bytes: RandomBytes, from: number, little: boolean): readonly Section[] {
  const sections: Section[] = [];
  for (let at = from; at < bytes.size && sections.length < MOST; ) {
    const section = bytes.size - at < SECTION_HEAD ? cutHead(at) : sectionAt(bytes, at, little);
    if (section === null) break;
    const next = section.end < bytes.size ? sectionAt(bytes, section.end, little) : null;
    const unfinished = section.end === section.data && section.end < bytes.size && next === null;
    sections.push(unfinished ? { ...section, end: bytes.size } : section);
    at = unfinished ? bytes.size : section.end;
  }
  return sections;
}

/**
 * What is to be said of a file that ends within its last section, or behind pages where their description must follow
 * because something is missing; else null.
 */
export function endOf(bytes: RandomBytes, sections: readonly Section[], lacking: boolean): ImportError | null {
  const last = sections.at(-1);
  if (last === undefined || last.end < bytes.size) return null;
  if (last.end === bytes.size && !(lacking && last.id === SECTION.buffer)) return null;
  const missing = last.end - bytes.size;
  const lacks =
    missing === 0 ? `it ends behind ${last.name}` : `it ends in ${last.name}, of which ${missing} bytes are missing`;
  const left = last.id === SECTION.strings ? 'no event is lost by that' : 'what came behind is lost';
  return new ImportError('TRUNCATED', `${bytes.name} (offset ${bytes.size})`, `${lacks}; ${left}`);
}
