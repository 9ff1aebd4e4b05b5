/**
 * A small typed assembler of WebAssembly: expressions are values of a type, statements are emitted into a function,
 * labels are objects. It checks types at compile time of TypeScript and nesting at run time. Functions become a module
 * in module.ts.
 * Encoding: WebAssembly Core Specification 2.0, section 5, "Binary Format".
 */
export type Nested = readonly (number | Nested)[];
export type ValueType = 'i32' | 'i64';

export interface Value<T extends ValueType> {
  readonly type: T;
  readonly code: Nested;
}
export type I32 = Value<'i32'>;
export type I64 = Value<'i64'>;

export const TYPE_CODE = { i32: 0x7f, i64: 0x7e } as const;
const BLOCK = { empty: 0x40 } as const;

const encodeUnsigned = (value: number): readonly number[] => {
  const out: number[] = [];
  let rest = value >>> 0;
  do {
    const byte = rest & 0x7f;
    rest >>>= 7;
    out.push(rest ? byte | 0x80 : byte);
  } while (rest);
  return out;
};

// Offsets and indices are small, and there are a hundred thousand of them.
const SMALL = Array.from({ length: 4096 }, (_, i) => encodeUnsigned(i));
/** LEB128 of an unsigned 32-bit integer. */
export const unsigned = (value: number): readonly number[] => SMALL[value] ?? encodeUnsigned(value);

const signed = (value: bigint): number[] => {
  const out: number[] = [];
  let rest = value;
  for (;;) {
    const byte = Number(rest & 0x7fn);
    rest >>= 7n;
    const done = (rest === 0n && !(byte & 0x40)) || (rest === -1n && (byte & 0x40) !== 0);
    out.push(done ? byte : byte | 0x80);
    if (done) return out;
  }
};

export const value = <T extends ValueType>(type: T, ...code: Nested): Value<T> => ({ type, code });

const constants = { i32: new Map<bigint, Value<'i32'>>(), i64: new Map<bigint, Value<'i64'>>() };
function constant<T extends ValueType>(type: T, opcode: number, n: bigint): Value<T> {
  const known = constants[type] as Map<bigint, Value<T>>;
  let made = known.get(n);
  if (!made) {
    made = value(type, opcode, signed(n));
    known.set(n, made);
  }
  return made;
}

type Binary<T extends ValueType> = (a: Value<T>, b: Value<T>) => Value<T>;
type Compare<T extends ValueType> = (a: Value<T>, b: Value<T>) => I32;
type Load<T extends ValueType> = (address: I32, offset?: number) => Value<T>;
type Store<T extends ValueType> = (address: I32, stored: Value<T>, offset?: number) => Nested;

const binary =
  <T extends ValueType>(type: T, opcode: number): Binary<T> =>
  (a, b) =>
    value(type, a.code, b.code, opcode);
const compare =
  <T extends ValueType>(opcode: number): Compare<T> =>
  (a, b) =>
    value('i32', a.code, b.code, opcode);
const unary =
  <From extends ValueType, To extends ValueType>(type: To, opcode: number) =>
  (a: Value<From>): Value<To> =>
    value(type, a.code, opcode);
// Alignment hints are 0 (byte): guests align as they like.
const load =
  <T extends ValueType>(type: T, opcode: number): Load<T> =>
  (address, offset = 0) =>
    value(type, address.code, opcode, 0, unsigned(offset));
const store =
  <T extends ValueType>(opcode: number): Store<T> =>
  (address, stored, offset = 0) => [address.code, stored.code, opcode, 0, unsigned(offset)];

export const i32 = {
  const: (n: number): I32 => constant('i32', 0x41, BigInt(n | 0)),
  load: load('i32', 0x28),
  load8u: load('i32', 0x2d),
  load16u: load('i32', 0x2f),
  store: store<'i32'>(0x36),
  store8: store<'i32'>(0x3a),
  store16: store<'i32'>(0x3b),
  eqz: unary<'i32', 'i32'>('i32', 0x45),
  eq: compare<'i32'>(0x46),
  ne: compare<'i32'>(0x47),
  ltU: compare<'i32'>(0x49),
  gtS: compare<'i32'>(0x4a),
  gtU: compare<'i32'>(0x4b),
  leU: compare<'i32'>(0x4d),
  geU: compare<'i32'>(0x4f),
  popcnt: unary<'i32', 'i32'>('i32', 0x69),
  add: binary('i32', 0x6a),
  sub: binary('i32', 0x6b),
  and: binary('i32', 0x71),
  or: binary('i32', 0x72),
  xor: binary('i32', 0x73),
  shl: binary('i32', 0x74),
  shrU: binary('i32', 0x76),
  wrap: unary<'i64', 'i32'>('i32', 0xa7),
} as const;

export const i64 = {
  const: (n: bigint | number): I64 => constant('i64', 0x42, BigInt.asIntN(64, BigInt(n))),
  load: load('i64', 0x29),
  load8u: load('i64', 0x31),
  load16u: load('i64', 0x33),
  load32u: load('i64', 0x35),
  store: store<'i64'>(0x37),
  store8: store<'i64'>(0x3c),
  store16: store<'i64'>(0x3d),
  store32: store<'i64'>(0x3e),
  eqz: unary<'i64', 'i32'>('i32', 0x50),
  eq: compare<'i64'>(0x51),
  ne: compare<'i64'>(0x52),
  ltS: compare<'i64'>(0x53),
  ltU: compare<'i64'>(0x54),
  gtU: compare<'i64'>(0x56),
  leU: compare<'i64'>(0x58),
  geS: compare<'i64'>(0x59),
  geU: compare<'i64'>(0x5a),
  clz: unary<'i64', 'i64'>('i64', 0x79),
  ctz: unary<'i64', 'i64'>('i64', 0x7a),
  popcnt: unary<'i64', 'i64'>('i64', 0x7b),
  add: binary('i64', 0x7c),
  sub: binary('i64', 0x7d),
  mul: binary('i64', 0x7e),
  divS: binary('i64', 0x7f),
  divU: binary('i64', 0x80),
  remS: binary('i64', 0x81),
  remU: binary('i64', 0x82),
  and: binary('i64', 0x83),
  or: binary('i64', 0x84),
  xor: binary('i64', 0x85),
  shl: binary('i64', 0x86),
  shrS: binary('i64', 0x87),
  shrU: binary('i64', 0x88),
  rotl: binary('i64', 0x89),
  rotr: binary('i64', 0x8a),
  extendS: unary<'i32', 'i64'>('i64', 0xac),
  extendU: unary<'i32', 'i64'>('i64', 0xad),
  extend8s: unary<'i64', 'i64'>('i64', 0xc2),
  extend16s: unary<'i64', 'i64'>('i64', 0xc3),
  extend32s: unary<'i64', 'i64'>('i64', 0xc4),
} as const;

/** `a` where `condition` is not zero, else `b`; both are evaluated. */
export const select = <T extends ValueType>(a: Value<T>, b: Value<T>, condition: I32): Value<T> =>
  value(a.type, a.code, b.code, condition.code, 0x1b);

export class Local<T extends ValueType> {
  readonly type: T;
  readonly index: number;
  readonly get: Value<T>;
  constructor(type: T, index: number) {
    this.type = type;
    this.index = index;
    this.get = value(type, 0x20, unsigned(index));
  }
  set(v: Value<T>): Nested {
    return [v.code, 0x21, unsigned(this.index)];
  }
  tee(v: Value<T>): Value<T> {
    return value(this.type, v.code, 0x22, unsigned(this.index));
  }
}

/** A place to branch to: the nesting depth at which it was opened. */
export interface Label {
  readonly depth: number;
}

export interface Signature {
  readonly params: readonly ValueType[];
  readonly results: readonly ValueType[];
}

/** A function that can be called by index; made by `Module.import` or `Module.func`. */
export interface Callable {
  readonly index: number;
  readonly signature: Signature;
}

const flatten = (code: Nested, out: number[]): void => {
  for (const part of code) {
    if (typeof part === 'number') out.push(part);
    else flatten(part, out);
  }
};

export type Bytes = Uint8Array | readonly number[];

export const join = (parts: readonly Bytes[]): Uint8Array => {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};

/** The body of one function. Statements are emitted in order; `block`, `loop` and `when` nest. */
export class FunctionBuilder {
  readonly #code: number[] = [];
  readonly #locals: ValueType[] = [];
  readonly #params: number;
  #depth = 0;

  constructor(params: number) {
    this.#params = params;
  }

  param<T extends ValueType>(type: T, index: number): Local<T> {
    return new Local(type, index);
  }

  local<T extends ValueType>(type: T): Local<T> {
    this.#locals.push(type);
    return new Local(type, this.#params + this.#locals.length - 1);
  }

  emit(...statements: Nested[]): void {
    for (const statement of statements) flatten(statement, this.#code);
  }

  #nest(opcode: number, body: (label: Label) => void): void {
    this.#code.push(opcode, BLOCK.empty);
    this.#depth++;
    body({ depth: this.#depth });
    this.#depth--;
    this.#code.push(0x0b);
  }

  block(body: (end: Label) => void): void {
    this.#nest(0x02, body);
  }

  loop(body: (start: Label) => void): void {
    this.#nest(0x03, body);
  }

  when(condition: I32, then: () => void, otherwise?: () => void): void {
    this.emit(condition.code);
    this.#code.push(0x04, BLOCK.empty);
    this.#depth++;
    then();
    if (otherwise) {
      this.#code.push(0x05);
      otherwise();
    }
    this.#depth--;
    this.#code.push(0x0b);
  }

  br(label: Label): void {
    this.#code.push(0x0c, ...unsigned(this.#depth - label.depth));
  }

  brIf(label: Label, condition: I32): void {
    this.emit(condition.code);
    this.#code.push(0x0d, ...unsigned(this.#depth - label.depth));
  }

  /** Opens `count` blocks, jumps by `selector` to the end of block i, where `body(i)` follows, or to `otherwise`. */
  table(selector: I32, count: number, otherwise: Label, body: (i: number) => void): void {
    for (let i = 0; i < count; i++) this.#code.push(0x02, BLOCK.empty);
    this.#depth += count;
    this.emit(selector.code);
    this.#code.push(0x0e, ...unsigned(count));
    for (let i = 0; i < count; i++) this.#code.push(...unsigned(i));
    this.#code.push(...unsigned(this.#depth - otherwise.depth));
    for (let i = 0; i < count; i++) {
      this.#depth--;
      this.#code.push(0x0b);
      body(i);
    }
  }

  return(result?: Value<ValueType>): void {
    if (result) this.emit(result.code);
    this.#code.push(0x0f);
  }

  unreachable(): void {
    this.#code.push(0x00);
  }

  /** Size, locals and code, as the code section wants them. */
  body(): Uint8Array {
    const groups: number[] = [];
    for (const type of this.#locals) groups.push(1, TYPE_CODE[type]);
    const locals = [...unsigned(this.#locals.length), ...groups];
    const size = unsigned(locals.length + this.#code.length + 1);
    return join([size, locals, this.#code, [0x0b]]);
  }
}

const call = (callee: Callable, args: readonly Value<ValueType>[]): Nested => [
  args.map((arg) => arg.code),
  0x10,
  unsigned(callee.index),
];
/** Calls for a result of the given type. */
export const callValue = <T extends ValueType>(type: T, callee: Callable, ...args: Value<ValueType>[]): Value<T> =>
  value(type, call(callee, args));
export const callStatement = (callee: Callable, ...args: Value<ValueType>[]): Nested => call(callee, args);
