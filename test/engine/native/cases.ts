/**
 * Instructions that this project runs on a real CPU and on its own machine, and the inputs that both get. A vector is one
 * line: code bits, bytes, pinned inputs, number of cases, digest of all outcomes, text. Inputs follow from the text and
 * the case's number alone, so that the line need not hold them.
 */

/** Where code and data stand, on the host and on the machine alike: harness.c. */
export const PLACE = {
  entry: 0x3000_0100,
  taken: 0x3000_0180,
  data: 0x1000_0000,
  window: 256,
  gsBase: 0x1000,
} as const;

export const REGISTERS = [
  ...['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi'],
  ...['r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'],
] as const;

export interface Vector {
  readonly bits: 32 | 64;
  readonly code: Uint8Array;
  /** Inputs that are not left to chance: see `pin`. */
  readonly pins: readonly string[];
  readonly cases: number;
  readonly text: string;
  /** Of all outcomes on the real CPU, 16 hexadecimal digits. */
  readonly digest: string;
}

/** The state around one instruction; before or after it. */
export interface State {
  readonly regs: BigUint64Array;
  flags: number;
  readonly memory: Uint8Array;
}

export interface Outcome extends State {
  /** 0: fell through; 1: jumped to `PLACE.taken`; 2: faulted. */
  ended: number;
  /** Of the exception. */
  vector: number;
}

export const newState = (): State => ({
  regs: new BigUint64Array(16),
  flags: 0,
  memory: new Uint8Array(PLACE.window),
});

/** Arithmetic flags and DF. */
export const COMPARED_FLAGS = 0xcd5;

const hash = (text: string): number => {
  let h = 0x811c_9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x0100_0193);
  return h >>> 0;
};

/** Mulberry32: 32 random bits a call. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b_79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
}

const BOUNDARIES = [
  ...[0n, 1n, 2n, 0x7fn, 0x80n, 0xffn, 0x100n, 0x7fffn, 0x8000n, 0xffffn, 0x1_0000n],
  ...[0x7fff_ffffn, 0x8000_0000n, 0xffff_ffffn, 0x1_0000_0000n, 0x7fff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n],
  ...[0xffff_ffff_ffff_ff80n, 0xffff_ffff_ffff_8000n, 0xffff_ffff_8000_0000n, 0xffff_ffff_ffff_ffffn],
];

function randomValue(next: () => number): bigint {
  const wide = (BigInt(next()) << 32n) | BigInt(next());
  const way = next() & 7;
  if (way < 3) return wide;
  if (way < 6) return BOUNDARIES[next() % BOUNDARIES.length] ?? 0n;
  return way === 6 ? wide & 0xffn : BigInt.asUintN(64, BigInt.asIntN(32, wide));
}

const PIN = /^(\[?[0-9a-z]+\]?)([=&%])([0-9a-f]+|case)$/;

/**
 * Applies a pin: `rcx=5` (`rcx=case`: the case's number), `rcx&1f` (that many random bits), `rcx%100` (random, from
 * -100 to ff). `[10000040]` in place of a register is 8 bytes of memory. Numbers are hexadecimal.
 */
function applyPin(text: string, state: State, number: number): void {
  const [, name = '', kind, digits] = PIN.exec(text) ?? [];
  if (kind === undefined) throw new RangeError(`not a pin: ${text}`);
  const memory = name.startsWith('[');
  const at = memory ? Number.parseInt(name.slice(1), 16) - PLACE.data : REGISTERS.indexOf(name as 'rax');
  const view = new DataView(state.memory.buffer, state.memory.byteOffset);
  const old = memory ? view.getBigUint64(at, true) : (state.regs[at] ?? 0n);
  const operand = digits === 'case' ? BigInt(number) : BigInt(`0x${digits}`);
  const value = kind === '=' ? operand : kind === '&' ? old & operand : (old % (2n * operand)) - operand;
  if (memory) view.setBigUint64(at, BigInt.asUintN(64, value), true);
  else state.regs[at] = value;
}

/** Fills `state` with the inputs of a case. */
export function fillInputs(vector: Vector, number: number, state: State): void {
  const next = generator(hash(`${vector.bits} ${vector.text}`) ^ Math.imul(number + 1, 0x9e37_79b1));
  for (let i = 0; i < 16; i++) state.regs[i] = randomValue(next);
  // Equal operands are worth a look too.
  if (number % 5 === 4) for (let i = 1; i < 16; i += 2) state.regs[i] = state.regs[0] ?? 0n;
  state.regs[4] = BigInt(PLACE.data + 0xc0);
  state.flags = (next() & COMPARED_FLAGS) | 0x202;
  const few = number % 3 === 0 ? next() & 0x0101_0101 : -1;
  for (let i = 0; i < PLACE.window; i++) state.memory[i] = (next() >>> 24) & few;
  for (const pin of vector.pins) if (!pin.startsWith('imm')) applyPin(pin, state, number);
  if (vector.bits === 32)
    for (let i = 0; i < 16; i++) state.regs[i] = i < 8 ? (state.regs[i] ?? 0n) & 0xffff_ffffn : 0n;
}

/** The code of a case: with the pin `imm=case` its last byte is the case's number. */
export function codeOf(vector: Vector, number: number): Uint8Array {
  if (!vector.pins.includes('imm=case')) return vector.code;
  const code = vector.code.slice();
  code[code.length - 1] = number;
  return code;
}

/** Two multiplicative hashes over 32-bit words: enough to tell a difference, and fast. */
export class Digest {
  #a = 0x811c_9dc5;
  #b = 0x1b87_3593;

  word(value: number): void {
    this.#a = Math.imul(this.#a ^ value, 0x0100_0193) ^ (this.#a >>> 15);
    this.#b = Math.imul(this.#b + value, 0xcc9e_2d51 | 0) ^ (this.#b >>> 13);
  }

  outcome(outcome: Outcome, bits: 32 | 64): void {
    const words = new Uint32Array(outcome.regs.buffer, outcome.regs.byteOffset, bits === 64 ? 32 : 16);
    for (let i = 0; i < words.length; i++) if (bits === 64 || (i & 1) === 0) this.word(words[i] ?? 0);
    const memory = new Uint32Array(outcome.memory.buffer, outcome.memory.byteOffset, PLACE.window / 4);
    for (const word of memory) this.word(word);
    this.word(outcome.flags);
    this.word(outcome.ended | (outcome.vector << 8));
  }

  toString(): string {
    const hex = (n: number): string => (n >>> 0).toString(16).padStart(8, '0');
    return hex(this.#a) + hex(this.#b);
  }
}

export const formatVector = (v: Vector): string => {
  const code = Buffer.from(v.code).toString('hex');
  return [v.bits, code, v.pins.join(',') || '-', v.cases, v.digest, v.text].join(' ');
};

export function parseVector(line: string): Vector {
  const [bits, code = '', pins = '-', cases, digest = '', ...text] = line.split(' ');
  return {
    bits: bits === '32' ? 32 : 64,
    code: Uint8Array.from(Buffer.from(code, 'hex')),
    pins: pins === '-' ? [] : pins.split(','),
    cases: Number(cases),
    digest,
    text: text.join(' '),
  };
}
