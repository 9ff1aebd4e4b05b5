/**
 * LZ4 blocks by lz4_flex in WebAssembly, of the package lz4-wasm-nodejs. Only its code is taken, to declare its memory
 * shared: memory that is not is detached from its views when it grows, and once anything was detached V8 checks at every
 * access of a typed array whether that was; an import of text took 10 % longer.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Malformed } from './malformed.js';

/** What wasm-bindgen makes of lz4_flex. Answers lie in words of 32 bits on its stack: address, length, error, whether one. */
interface Exports {
  readonly memory: WebAssembly.Memory;
  compress(answer: number, at: number, length: number): void;
  decompress(answer: number, at: number, length: number): void;
  __wbindgen_malloc(length: number): number;
  __wbindgen_free(at: number, length: number): void;
  __wbindgen_add_to_stack_pointer(bytes: number): number;
}

/** Bytes of an answer. */
const ANSWER = 16;

/** WebAssembly Core Specification 2.0 with threads, "Binary Format": header, sections, limits of a shared memory. */
const HEADER = 8;
const MEMORY_SECTION = 5;
const SHARED = 3;
/** Most pages of 64 KiB: blocks have 4 MiB at the most. */
const MOST_PAGES = 1024;

const leb = (value: number): number[] =>
  value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...leb(Math.floor(value / 0x80))];

/** Reads an unsigned LEB128 number below 2^32: its value, and where it ends. */
function readLeb(code: Uint8Array, at: number): [value: number, end: number] {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = code[at++] ?? 0;
    value += (byte & 0x7f) * 2 ** shift;
    if (byte < 0x80) return [value, at];
  }
}

/** The module with its one memory, which has limits without a maximum, shared. */
function withSharedMemory(code: Uint8Array): Uint8Array<ArrayBuffer> {
  for (let at = HEADER; at < code.length; ) {
    const [size, start] = readLeb(code, at + 1);
    if (code[at] === MEMORY_SECTION) {
      const [pages] = readLeb(code, start + 2);
      const section = [1, SHARED, ...leb(pages), ...leb(MOST_PAGES)];
      const front = [...code.subarray(0, at), MEMORY_SECTION, ...leb(section.length), ...section];
      return Uint8Array.from([...front, ...code.subarray(start + size)]);
    }
    at = start + size;
  }
  throw new Error('the package lz4-wasm-nodejs has no memory of its own');
}

/** What the code said last of what is wrong with a block. */
let problem = '';

function start(): Exports {
  const path = fileURLToPath(import.meta.resolve('lz4-wasm-nodejs/lz4_wasm_nodejs_bg.wasm'));
  const imports = {
    __wbindgen_placeholder__: {
      __wbindgen_string_new(at: number, length: number): number {
        look(instance());
        problem = Buffer.from(bytes.subarray(at, at + length)).toString('latin1');
        return 0;
      },
    },
  };
  const module = new WebAssembly.Module(withSharedMemory(readFileSync(path)));
  return new WebAssembly.Instance(module, imports).exports as unknown as Exports;
}

let running: Exports | null = null;

/** The one instance, made when the first block is. */
function instance(): Exports {
  running ??= start();
  return running;
}

/** The memory as it was when it grew last: to make an array over it takes as long as to compress a few bytes. */
let bytes = new Uint8Array(new ArrayBuffer(0));
let words = new Uint32Array(bytes.buffer);

/** To be called behind whatever may have made the memory grow. */
function look({ memory }: Exports): void {
  if (bytes.buffer === memory.buffer) return;
  bytes = new Uint8Array(memory.buffer);
  words = new Uint32Array(memory.buffer);
}

/** Takes the bytes of an answer, which are good during the call only. */
type Take<T> = (answer: Uint8Array) => T;

/** Calls one of its functions with bytes, and returns what is made of the bytes that it answers. */
function call<T>(what: 'compress' | 'decompress', input: Uint8Array, take: Take<T>): T {
  const lz4 = instance();
  try {
    return answered(lz4, what, input, take);
  } catch (error) {
    if (!(error instanceof WebAssembly.RuntimeError)) throw error;
    // what it took of its memory is never free again
    running = null;
    throw what === 'decompress' ? new Malformed(`a block: ${error.message}`) : error;
  }
}

function answered<T>(lz4: Exports, what: 'compress' | 'decompress', input: Uint8Array, take: Take<T>): T {
  const answer = lz4.__wbindgen_add_to_stack_pointer(-ANSWER);
  try {
    const place = lz4.__wbindgen_malloc(input.length);
    look(lz4);
    bytes.set(input, place);
    lz4[what](answer, place, input.length); // frees its input
    look(lz4);
    const at = words[answer >>> 2] as number;
    const length = words[(answer >>> 2) + 1] as number;
    if (what === 'decompress' && words[(answer >>> 2) + 3] !== 0) throw new Malformed(`a block: ${problem}`);
    try {
      return take(bytes.subarray(at, at + length));
    } finally {
      lz4.__wbindgen_free(at, length);
    }
  } finally {
    lz4.__wbindgen_add_to_stack_pointer(ANSWER);
  }
}

/** The number of the bytes in 32 bits, little-endian, before what lz4_flex makes of them. */
const SIZED = 4;

/** Makes a block of these bytes, of which there are 4 MiB at the most, and returns what is made of it. */
export const compressBlock = <T>(bytes: Uint8Array, take: Take<T>): T =>
  call('compress', bytes, (block) => take(block.subarray(SIZED)));

/**
 * Fills `target` from a block that stands behind the number of its bytes, at most 4 MiB.
 * @throws RangeError where it holds another number of bytes, or is damaged
 */
export function decompressBlock(block: Uint8Array, target: Uint8Array): void {
  call('decompress', block, (bytes) => {
    if (bytes.length !== target.length)
      throw new Malformed(`${bytes.length} bytes where ${target.length} were expected`);
    target.set(bytes);
  });
}
