/**
 * The inner loops of byte lanes, in WebAssembly SIMD: JavaScript takes 10 ns to split a 64-bit cell, these take 1.
 * A block is 16 rows. Bytes of lanes are separated by rounds that take even and odd bytes of pairs of vectors apart;
 * joining zips them together again. Opcodes: WebAssembly Core Specification 2.0, "Binary Format", "Instructions".
 */
import { CHUNK_ROWS } from './schema.js';

type Code = number | readonly Code[];

/** Rows of the longest chunk, and the regions of the linear memory: cells, lanes (LANE bytes apart), validity, bits. */
const ROWS = Math.max(...Object.values(CHUNK_ROWS));
export const LANE = ROWS;
const CELLS_AT = 0;
const LANES_AT = 8 * ROWS;
const VALID_AT = LANES_AT + 8 * LANE;
const BITS_AT = VALID_AT + ROWS;
const PAGES = (BITS_AT + ROWS / 8) / 65_536 + 1;

const I32 = 0x7f;
const I64 = 0x7e;
const V128 = 0x7b;

const leb = (value: number): number[] => {
  const low = value & 0x7f;
  const rest = value >> 7;
  const done = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0);
  return done ? [low] : [low | 0x80, ...leb(rest)];
};
const uleb = (value: number): number[] => (value < 0x80 ? [value] : [(value & 0x7f) | 0x80, ...uleb(value >>> 7)]);
const flat = (code: Code): number[] => (typeof code === 'number' ? [code] : code.flatMap(flat));
const vector = (items: readonly Code[]): Code => [uleb(items.length), items];
const sized = (code: Code): Code => {
  const bytes = flat(code);
  return [uleb(bytes.length), bytes];
};
const simd = (opcode: number): Code => [0xfd, uleb(opcode)];

const get = (local: number): Code => [0x20, uleb(local)];
const set = (local: number, value: Code): Code => [value, 0x21, uleb(local)];
const i32 = (value: number): Code => [0x41, leb(value)];
const add = (a: Code, b: Code): Code => [a, b, 0x6a];
const memarg = (offset: number): Code => [0, uleb(offset)];
const load8 = (at: Code, offset: number): Code => [at, 0x2d, memarg(offset)];
const loadVector = (at: Code, offset: number): Code => [at, simd(0), memarg(offset)];
const storeVector = (at: Code, value: Code, offset: number): Code => [at, value, simd(11), memarg(offset)];
const shuffle = (a: Code, b: Code, pick: (i: number) => number): Code => [
  a,
  b,
  simd(13),
  Array.from({ length: 16 }, (_, i) => pick(i)),
];
const orVectors = (a: Code, b: Code): Code => [a, b, simd(80)];
const xorVectors = (a: Code, b: Code): Code => [a, b, simd(81)];

/** Repeats `body` while its count, a local that is counted down, is not zero. The count must not be zero at first. */
const loop = (count: number, body: Code): Code => [
  0x03,
  0x40,
  body,
  get(count),
  i32(1),
  0x6b,
  [0x22, uleb(count)],
  0x0d,
  0,
  0x0b,
];
const advance = (local: number, bytes: number): Code => set(local, add(get(local), i32(bytes)));

interface Kernel {
  readonly name: string;
  readonly parameters: readonly number[];
  readonly result: number | null;
  readonly locals: readonly number[];
  readonly body: Code;
}

/** Two vectors into their even and their odd bytes; and the inverse, zipped from the low and the high halves. */
const even = (a: Code, b: Code) => shuffle(a, b, (i) => 2 * i);
const odd = (a: Code, b: Code) => shuffle(a, b, (i) => 2 * i + 1);
const zipLow = (a: Code, b: Code) => shuffle(a, b, (i) => (i >> 1) + 16 * (i & 1));
const zipHigh = (a: Code, b: Code) => shuffle(a, b, (i) => 8 + (i >> 1) + 16 * (i & 1));

/**
 * split(blocks) separates the lanes of cells of `width` bytes and returns the bits that vary, as a 64-bit value (two
 * cells of 32 bits). Vector locals: the first cell in all places, the bits that vary, then two sets of `width`.
 */
function split(width: 4 | 8): Kernel {
  const [blocks, cell, lane, first, varying, base] = [0, 1, 2, 3, 4, 5];
  const from = (round: number) => base + (round % 2) * width;
  const body: Code[] = [];
  for (let i = 0; i < width; i++) {
    body.push(set(from(0) + i, loadVector(get(cell), CELLS_AT + 16 * i)));
    const differing = xorVectors(get(from(0) + i), get(first));
    body.push(set(varying, orVectors(get(varying), differing)));
  }
  const rounds = Math.log2(width);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < width / 2; i++) {
      // Vectors of one round lie in groups that share their lanes; a group falls apart into its even and odd half.
      const group = width >> round;
      const start = Math.floor((2 * i) / group) * group;
      const within = (2 * i - start) / 2;
      const pair: [Code, Code] = [get(from(round) + 2 * i), get(from(round) + 2 * i + 1)];
      body.push(set(from(round + 1) + start + within, even(...pair)));
      body.push(set(from(round + 1) + start + group / 2 + within, odd(...pair)));
    }
  }
  // After the rounds vector i has the lane whose number is i with its bits reversed.
  for (let i = 0; i < width; i++) {
    body.push(storeVector(get(lane), get(from(rounds) + i), LANES_AT + LANE * reversed(i, rounds)));
  }
  const splat: Code = width === 8 ? [i32(0), simd(10), memarg(CELLS_AT)] : [i32(0), simd(9), memarg(CELLS_AT)];
  const half = (i: number): Code => [get(varying), simd(29), i];
  return {
    name: `split${8 * width}`,
    parameters: [I32],
    result: I64,
    locals: [I32, I32, ...new Array<number>(2 + 2 * width).fill(V128)],
    body: [
      set(first, splat),
      loop(blocks, [body, advance(cell, 16 * width), advance(lane, 16)]),
      [half(0), half(1), 0x84],
    ],
  };
}

const reversed = (value: number, bits: number): number => {
  let result = 0;
  for (let i = 0; i < bits; i++) result |= ((value >> i) & 1) << (bits - 1 - i);
  return result;
};

/** join(blocks) is the inverse of split. */
function join(width: 4 | 8): Kernel {
  const [blocks, cell, lane, base] = [0, 1, 2, 3];
  const rounds = Math.log2(width);
  const from = (round: number) => base + (round % 2) * width;
  const body: Code[] = [];
  for (let i = 0; i < width; i++) {
    body.push(set(from(0) + i, loadVector(get(lane), LANES_AT + LANE * reversed(i, rounds))));
  }
  for (let round = 0; round < rounds; round++) {
    const group = 2 << round;
    for (let start = 0; start < width; start += group) {
      for (let within = 0; within < group / 2; within++) {
        const pair: [Code, Code] = [get(from(round) + start + within), get(from(round) + start + group / 2 + within)];
        body.push(set(from(round + 1) + start + 2 * within, zipLow(...pair)));
        body.push(set(from(round + 1) + start + 2 * within + 1, zipHigh(...pair)));
      }
    }
  }
  for (let i = 0; i < width; i++) {
    body.push(storeVector(get(cell), get(from(rounds) + i), CELLS_AT + 16 * i));
  }
  return {
    name: `join${8 * width}`,
    parameters: [I32],
    result: null,
    locals: [I32, I32, ...new Array<number>(2 * width).fill(V128)],
    body: loop(blocks, [body, advance(cell, 16 * width), advance(lane, 16)]),
  };
}

interface Word {
  readonly width: 4 | 8;
  readonly type: number;
  readonly load: number;
  readonly store: number;
  readonly zero: Code;
}
const WORDS: readonly Word[] = [
  { width: 4, type: I32, load: 0x28, store: 0x36, zero: i32(0) },
  { width: 8, type: I64, load: 0x29, store: 0x37, zero: [0x42, 0] },
];

/** fill(rows, value) replaces the cell of a null row by the one before it; before the first value by `value`. */
function fill({ width, type, load, store }: Word): Kernel {
  const [rows, last, cell, valid] = [0, 1, 2, 3];
  const here: Code = [get(cell), load, memarg(CELLS_AT)];
  return {
    name: `fill${8 * width}`,
    parameters: [I32, type],
    result: null,
    locals: [I32, I32],
    body: loop(rows, [
      set(last, [here, get(last), load8(get(valid), VALID_AT), 0x1b]),
      [get(cell), get(last), store, memarg(CELLS_AT)],
      advance(cell, width),
      advance(valid, 1),
    ]),
  };
}

/** clear(rows) makes the cells of null rows zero. */
function clear({ width, load, store, zero }: Word): Kernel {
  const [rows, cell, valid] = [0, 1, 2];
  const here: Code = [get(cell), load, memarg(CELLS_AT)];
  return {
    name: `clear${8 * width}`,
    parameters: [I32],
    result: null,
    locals: [I32, I32],
    body: loop(rows, [
      [get(cell), here, zero, load8(get(valid), VALID_AT), 0x1b, store, memarg(CELLS_AT)],
      advance(cell, width),
      advance(valid, 1),
    ]),
  };
}

/** pack(blocks) makes bits of validity bytes, 16 at a time, and returns how many are set. */
const pack: Kernel = {
  name: 'pack',
  parameters: [I32],
  result: I32,
  locals: [I32, I32, I32, I32],
  body: [
    loop(0, [
      set(3, [loadVector(get(1), VALID_AT), i32(7), simd(107), simd(100)]),
      set(4, add(get(4), [get(3), 0x69])),
      [get(2), get(3), 0x3b, memarg(BITS_AT)],
      advance(1, 16),
      advance(2, 2),
    ]),
    get(4),
  ],
};

const KERNELS = [split(4), split(8), join(4), join(8), ...WORDS.map(fill), ...WORDS.map(clear), pack];

function assemble(): Uint8Array<ArrayBuffer> {
  const section = (id: number, content: Code): Code => [id, sized(content)];
  const name = (text: string): Code => sized([...Buffer.from(text)]);
  const types = KERNELS.map(({ parameters, result }) => [
    0x60,
    vector(parameters.map((type) => [type])),
    vector(result === null ? [] : [[result]]),
  ]);
  const exported = KERNELS.map((kernel, i) => [name(kernel.name), 0, uleb(i)]);
  const bodies = KERNELS.map(({ locals, body }) => sized([vector(locals.map((type) => [1, type])), body, 0x0b]));
  return Uint8Array.from(
    flat([
      [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
      section(1, vector(types)),
      section(3, vector(KERNELS.map((_, i) => uleb(i)))),
      section(5, vector([[0, uleb(Math.ceil(PAGES))]])),
      section(7, vector([...exported, [name('memory'), 2, 0]])),
      section(10, vector(bodies)),
    ]),
  );
}

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly split32: (blocks: number) => bigint;
  readonly split64: (blocks: number) => bigint;
  readonly join32: (blocks: number) => void;
  readonly join64: (blocks: number) => void;
  readonly fill32: (rows: number, value: number) => void;
  readonly fill64: (rows: number, value: bigint) => void;
  readonly clear32: (rows: number) => void;
  readonly clear64: (rows: number) => void;
  readonly pack: (blocks: number) => number;
}

const instance = new WebAssembly.Instance(new WebAssembly.Module(assemble()), {});
export const kernels = instance.exports as unknown as Exports;

const { buffer } = kernels.memory;
/** Regions of the kernels' memory. What a call leaves there is good until the next. */
export const cells32 = new Uint32Array(buffer, CELLS_AT, 2 * ROWS);
export const cells64 = new BigUint64Array(buffer, CELLS_AT, ROWS);
export const lanes = Array.from({ length: 8 }, (_, i) => new Uint8Array(buffer, LANES_AT + LANE * i, LANE));
export const validBytes = new Uint8Array(buffer, VALID_AT, ROWS);
export const validBits = new Uint8Array(buffer, BITS_AT, ROWS / 8);
