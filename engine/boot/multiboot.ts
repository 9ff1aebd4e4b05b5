/**
 * Multiboot 1 images: Multiboot Specification version 0.6.96 (GNU), sections 3.1 "OS image format", 3.2 "Machine state"
 * and 3.3 "Boot information format".
 */
import { EngineError } from '../errors.js';
import { ImageReader } from './bytes.js';
import { isElf, type Program, readElf } from './elf.js';
import { alignUp, HIGH_START, LOW_END, PAGE, Places } from './place.js';
import { type BootRequest, type BootState, CR0, flatSegments, type MemoryWrite } from './state.js';

const HEADER_MAGIC = 0x1bad_b002;
/** In EAX when the image starts. */
export const BOOTLOADER_MAGIC = 0x2bad_b002;
/** "The Multiboot header must be contained completely within the first 8192 bytes of the OS image". */
const SEARCH_BYTES = 8192;

const FLAG = { pageAlign: 1, memory: 2, video: 4, required: 0xffff, addresses: 0x1_0000 } as const;
const INFO = { memory: 1, commandLine: 4, modules: 8, memoryMap: 0x40, loaderName: 0x200 } as const;
const INFO_BYTES = 120;
const MAP_ENTRY_BYTES = 24;
const MAP_TYPE = { available: 1, reserved: 2 } as const;
const MODULE_BYTES = 16;
const LOADER_NAME = 'trapline';
const KIB = 1024;

/** Offset of the multiboot header in the image, or null. */
export function findMultiboot(bytes: Uint8Array): number | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = Math.min(bytes.length, SEARCH_BYTES) - 12;
  for (let at = 0; at <= end; at += 4) {
    if (view.getUint32(at, true) !== HEADER_MAGIC) continue;
    const sum = HEADER_MAGIC + view.getUint32(at + 4, true) + view.getUint32(at + 8, true);
    if (sum % 0x1_0000_0000 === 0) return at;
  }
  return null;
}

/** The address fields: "load_addr", "load_end_addr", "bss_end_addr" and "entry_addr". */
function readAddresses(reader: ImageReader, header: number): Program {
  const field = (i: number): number => reader.u32(header + 12 + 4 * i, 'multiboot address fields');
  const [headerAddress, load, loadEnd, bssEnd, entry] = [field(0), field(1), field(2), field(3), field(4)];
  const wrong = (why: string): EngineError => new EngineError('IMAGE_BAD_HEADER', reader.name, why);
  if (load > headerAddress) throw wrong('multiboot load_addr is above header_addr');
  const offset = header - (headerAddress - load);
  if (offset < 0) throw wrong('multiboot load_addr lies before the start of the image');
  if (loadEnd !== 0 && loadEnd < load) throw wrong('multiboot load_end_addr is below load_addr');
  const fileBytes = loadEnd === 0 ? reader.length - offset : loadEnd - load;
  reader.need(offset, fileBytes, 'multiboot load segment');
  const end = load + fileBytes;
  if (bssEnd !== 0 && bssEnd < end) throw wrong('multiboot bss_end_addr is below load_end_addr');
  const memoryBytes = (bssEnd === 0 ? end : bssEnd) - load;
  if (entry < load || entry >= load + memoryBytes) throw wrong('multiboot entry_addr lies outside the image');
  return { segments: [{ offset, fileBytes, address: load, memoryBytes }], entry };
}

function readProgram(reader: ImageReader, header: number): Program {
  const flags = reader.u32(header + 4, 'multiboot header');
  const unknown = flags & FLAG.required & ~(FLAG.pageAlign | FLAG.memory);
  if (unknown !== 0) {
    const why = unknown === FLAG.video ? 'it requires a video mode' : `it requires multiboot feature ${unknown}`;
    throw new EngineError('IMAGE_UNSUPPORTED', reader.name, why);
  }
  if (flags & FLAG.addresses) return readAddresses(reader, header);
  if (isElf(reader.bytes)) return readElf(reader);
  throw new EngineError('IMAGE_BAD_HEADER', reader.name, 'multiboot header without addresses in a file that is no ELF');
}

const latin1 = (text: string): Uint8Array =>
  Uint8Array.from([...text, '\0'], (character) => Math.min(0xff, character.codePointAt(0) ?? 0));

/** RAM as the image sees it: below the video memory, and from 1 MiB. */
function memoryMap(request: BootRequest): readonly (readonly [start: number, end: number, type: number])[] {
  const { usableBytes, memoryBytes } = request;
  return [
    [0, Math.min(LOW_END, usableBytes), MAP_TYPE.available] as const,
    [LOW_END, HIGH_START, MAP_TYPE.reserved] as const,
    [HIGH_START, usableBytes, MAP_TYPE.available] as const,
    [usableBytes, memoryBytes, MAP_TYPE.reserved] as const,
  ].filter(([start, end]) => end > start);
}

/** Grows a block of memory that will lie at `address`. */
class Block {
  readonly address: number;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #used = 0;

  constructor(address: number, size: number) {
    this.address = address;
    this.#bytes = new Uint8Array(size);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Reserves `size` bytes and answers their address. */
  reserve(size: number): number {
    const at = this.address + this.#used;
    this.#used += alignUp(size, 8);
    return at;
  }

  u32(address: number, value: number): void {
    this.#view.setUint32(address - this.address, value, true);
  }

  u64(address: number, value: number): void {
    this.u32(address, value >>> 0);
    this.u32(address + 4, Math.floor(value / 0x1_0000_0000));
  }

  text(value: string): number {
    const bytes = latin1(value);
    const at = this.reserve(bytes.length);
    this.#bytes.set(bytes, at - this.address);
    return at;
  }

  write(): MemoryWrite {
    return { address: this.address, bytes: this.#bytes.subarray(0, this.#used) };
  }
}

interface PlacedModule extends MemoryWrite {
  readonly commandLine: string;
}

/** The information structure and all that it points to. */
function buildInfo(block: Block, request: BootRequest, modules: readonly PlacedModule[]): void {
  const info = block.reserve(INFO_BYTES);
  const at = (offset: number, value: number): void => block.u32(info + offset, value);
  at(0, INFO.memory | INFO.commandLine | INFO.modules | INFO.memoryMap | INFO.loaderName);
  at(4, Math.floor(Math.min(LOW_END, request.usableBytes) / KIB));
  at(8, Math.max(0, Math.floor((request.usableBytes - HIGH_START) / KIB)));
  at(16, block.text(request.commandLine));

  const list = block.reserve(modules.length * MODULE_BYTES);
  at(20, modules.length);
  at(24, list);
  for (const [i, { address, bytes, commandLine }] of modules.entries()) {
    const entry = list + i * MODULE_BYTES;
    block.u32(entry, address);
    block.u32(entry + 4, address + bytes.length);
    block.u32(entry + 8, block.text(commandLine));
  }

  const map = memoryMap(request);
  const first = block.reserve(map.length * MAP_ENTRY_BYTES);
  at(44, map.length * MAP_ENTRY_BYTES);
  at(48, first);
  for (const [i, [start, end, type]] of map.entries()) {
    const entry = first + i * MAP_ENTRY_BYTES;
    // "size ... can be greater than the default of 20 bytes", and does not count itself.
    block.u32(entry, MAP_ENTRY_BYTES - 4);
    block.u64(entry + 4, start);
    block.u64(entry + 12, end - start);
    block.u32(entry + 20, type);
  }
  at(64, block.text(LOADER_NAME));
}

/** Bytes that `buildInfo` may need. */
function infoSize(request: BootRequest): number {
  const texts = [request.commandLine, LOADER_NAME, ...request.modules.map((module) => module.commandLine)];
  const textBytes = texts.reduce((sum, each) => sum + latin1(each).length + 8, 0);
  return INFO_BYTES + 8 + 4 * MAP_ENTRY_BYTES + request.modules.length * MODULE_BYTES + textBytes;
}

function checkSegments(program: Program, request: BootRequest): void {
  const total = program.segments.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0);
  if (total > request.usableBytes) {
    const why = `its segments take ${total} bytes of RAM, there are ${request.usableBytes}`;
    throw new EngineError('IMAGE_OUTSIDE_RAM', request.name, why);
  }
  for (const { address, memoryBytes } of program.segments) {
    if (address + memoryBytes <= request.usableBytes) continue;
    const range = `${address.toString(16)}h to ${(address + memoryBytes).toString(16)}h`;
    const why = `${range}, RAM ends at ${request.usableBytes.toString(16)}h`;
    throw new EngineError('IMAGE_OUTSIDE_RAM', request.name, why);
  }
}

/** Throws EngineError with a code of IMAGE_*. */
export function bootMultiboot(request: BootRequest): BootState {
  const header = findMultiboot(request.image);
  if (header === null)
    throw new EngineError('IMAGE_UNKNOWN', request.name, 'no multiboot header in its first 8192 bytes');
  const reader = new ImageReader(request.image, request.name);
  const program = readProgram(reader, header);
  checkSegments(program, request);

  const taken = program.segments.map(({ address, memoryBytes }) => ({ start: address, end: address + memoryBytes }));
  const places = new Places(taken, request.usableBytes, request.name);
  // Modules go above the image: many images take the memory right after them for their own.
  const end = Math.max(HIGH_START, ...taken.map((region) => region.end));
  const modules = request.modules.map(({ bytes, commandLine }) => ({
    address: places.take(bytes.length, alignUp(end, PAGE)),
    bytes,
    commandLine,
  }));
  const size = infoSize(request);
  const block = new Block(places.take(size), size);
  buildInfo(block, request, modules);

  return {
    rip: program.entry,
    registers: { rax: BOOTLOADER_MAGIC, rbx: block.address },
    segments: flatSegments(32),
    // "The OS image must not load any segment registers until it sets up its own GDT": there is none.
    gdtr: { base: 0, limit: 0 },
    cr0: CR0.pe | CR0.et,
    cr3: 0,
    cr4: 0,
    efer: 0,
    writes: [
      ...program.segments.map(({ offset, fileBytes, address }) => ({
        address,
        bytes: request.image.subarray(offset, offset + fileBytes),
      })),
      ...modules,
      block.write(),
    ],
  };
}
