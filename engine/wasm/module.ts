/** A WebAssembly module in its binary format: sections of types, imports, functions, one table, exports and code. */
import {
  type Bytes,
  type Callable,
  FunctionBuilder,
  type I32,
  join,
  type Signature,
  TYPE_CODE,
  unsigned,
  type Value,
  type ValueType,
  value,
} from './assembler.js';

const elements = (functions: readonly number[]): number[] =>
  // Active, table 0, from 0.
  [1, 0x00, 0x41, 0, 0x0b, ...unsigned(functions.length), ...functions.flatMap(unsigned)];

const section = (id: number, content: Bytes): Uint8Array => join([[id, ...unsigned(content.length)], content]);
const vector = (items: readonly Bytes[]): Uint8Array => join([unsigned(items.length), ...items]);
const name = (text: string): number[] => [...unsigned(text.length), ...[...text].map((c) => c.charCodeAt(0))];

/** A module with one imported memory (`env.memory`). Imports must come before functions. */
export class Module {
  readonly #types: string[] = [];
  readonly #typeBytes: number[][] = [];
  readonly #imports: number[][] = [];
  #table: readonly Callable[] = [];
  #functions: { type: number; body: FunctionBuilder; name: string | null }[] = [];

  #type(signature: Signature): number {
    const bytes = [
      0x60,
      ...unsigned(signature.params.length),
      ...signature.params.map((type) => TYPE_CODE[type]),
      ...unsigned(signature.results.length),
      ...signature.results.map((type) => TYPE_CODE[type]),
    ];
    const key = bytes.join();
    const known = this.#types.indexOf(key);
    if (known >= 0) return known;
    this.#types.push(key);
    this.#typeBytes.push(bytes);
    return this.#types.length - 1;
  }

  import(field: string, signature: Signature): Callable {
    if (this.#functions.length > 0) throw new Error('imports come before functions');
    this.#imports.push([...name('env'), ...name(field), 0x00, ...unsigned(this.#type(signature))]);
    return { index: this.#imports.length - 1, signature };
  }

  /** Defines a function; a name exports it. `build` emits its body. */
  func(exported: string | null, signature: Signature, build: (f: FunctionBuilder) => void): Callable {
    const body = new FunctionBuilder(signature.params.length);
    this.#functions.push({ type: this.#type(signature), body, name: exported });
    const index = this.#imports.length + this.#functions.length - 1;
    build(body);
    return { index, signature };
  }

  /** Makes these the functions that `callIndirect` finds by their place; all of one signature. */
  table(functions: readonly Callable[]): void {
    this.#table = functions;
  }

  /** Calls the function at a place of the table. */
  callIndirect<T extends ValueType>(type: T, signature: Signature, at: I32, ...args: Value<ValueType>[]): Value<T> {
    return value(
      type,
      args.map((arg) => arg.code),
      at.code,
      [0x11, ...unsigned(this.#type(signature)), 0],
    );
  }

  /** The module's bytes. `pages`: the least size of the imported memory, in 64 KiB. */
  bytes(pages: number): Uint8Array {
    const memory = [...name('env'), ...name('memory'), 0x02, 0x00, ...unsigned(pages)];
    const bodies = this.#functions.map((f) => f.body.body());
    const exports = this.#functions.flatMap((f, i) =>
      f.name === null ? [] : [[...name(f.name), 0x00, ...unsigned(this.#imports.length + i)]],
    );
    const parts: Bytes[] = [
      [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
      section(1, vector(this.#typeBytes)),
      section(2, vector([...this.#imports, memory])),
      section(3, vector(this.#functions.map((f) => unsigned(f.type)))),
      // One table of functions, of exactly its size.
      section(4, [1, 0x70, 0x01, ...unsigned(this.#table.length), ...unsigned(this.#table.length)]),
      section(7, vector(exports)),
      section(9, elements(this.#table.map((f) => f.index))),
      section(10, vector(bodies)),
    ];
    return join(parts);
  }
}
