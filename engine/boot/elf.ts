/** Loadable segments of an ELF file. Source: System V ABI (gABI), "Program Header". */
import { EngineError } from '../errors.js';
import type { ImageReader } from './bytes.js';

/** Bytes [offset, offset + fileBytes) of the image go to `address`; up to `memoryBytes`, zeros follow. */
export interface LoadSegment {
  readonly offset: number;
  readonly fileBytes: number;
  readonly address: number;
  readonly memoryBytes: number;
}

export interface Program {
  readonly segments: readonly LoadSegment[];
  /** Physical address of the first instruction. */
  readonly entry: number;
}

const PT_LOAD = 1;
const MACHINE: { readonly [number: number]: 32 | 64 } = { 3: 32, 62: 64 };

/** Offsets of the fields, by class. */
const LAYOUT = {
  32: {
    header: 52,
    entry: 24,
    phoff: 28,
    phentsize: 42,
    phnum: 44,
    ph: 32,
    offset: 4,
    vaddr: 8,
    paddr: 12,
    filesz: 16,
    memsz: 20,
  },
  64: {
    header: 64,
    entry: 24,
    phoff: 32,
    phentsize: 54,
    phnum: 56,
    ph: 56,
    offset: 8,
    vaddr: 16,
    paddr: 24,
    filesz: 32,
    memsz: 40,
  },
} as const;

export const isElf = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46;

const contradiction = (reader: ImageReader, why: string): EngineError =>
  new EngineError('IMAGE_BAD_HEADER', reader.name, why);

/** Throws IMAGE_TRUNCATED, IMAGE_BAD_HEADER or IMAGE_UNSUPPORTED. */
export function readElf(reader: ImageReader): Program {
  reader.need(0, 20, 'ELF identification');
  const bits = reader.bytes[4] === 2 ? 64 : 32;
  if (reader.bytes[5] !== 1 || MACHINE[reader.u16(18, 'ELF machine')] !== bits) {
    throw new EngineError('IMAGE_UNSUPPORTED', reader.name, 'ELF file for another machine than x86');
  }
  const at = LAYOUT[bits];
  reader.need(0, at.header, 'ELF header');
  const word = (offset: number, what: string): number =>
    bits === 64 ? reader.u64(offset, what) : reader.u32(offset, what);

  const phoff = word(at.phoff, 'ELF header');
  const size = reader.u16(at.phentsize, 'ELF header');
  const count = reader.u16(at.phnum, 'ELF header');
  if (count > 0 && size < at.ph) throw contradiction(reader, `program headers of ${size} bytes`);
  reader.need(phoff, count * size, 'ELF program headers');

  const loads = Array.from({ length: count }, (_, i) => phoff + i * size)
    .filter((header) => reader.u32(header, 'ELF program header') === PT_LOAD)
    .map((header) => ({
      offset: word(header + at.offset, 'ELF program header'),
      virtual: word(header + at.vaddr, 'ELF program header'),
      address: word(header + at.paddr, 'ELF program header'),
      fileBytes: word(header + at.filesz, 'ELF program header'),
      memoryBytes: word(header + at.memsz, 'ELF program header'),
    }))
    .filter((segment) => segment.memoryBytes > 0);
  if (loads.length === 0) throw contradiction(reader, 'ELF file without a segment to load');
  for (const segment of loads) {
    if (segment.fileBytes > segment.memoryBytes)
      throw contradiction(reader, 'ELF segment larger in the file than in RAM');
    reader.need(segment.offset, segment.fileBytes, 'ELF segment');
  }
  const entry = word(at.entry, 'ELF header');
  const home = loads.find(({ virtual, memoryBytes }) => entry >= virtual && entry < virtual + memoryBytes);
  if (home === undefined) throw contradiction(reader, `ELF entry ${entry.toString(16)}h lies in no segment`);
  return { segments: loads, entry: entry - home.virtual + home.address };
}
