/**
 * Names of guest addresses, from files of symbols that each serve one level or all of them.
 *
 * A kernel with KASLR runs somewhere else than its vmlinux and its System.map say. How far is told by an offset, by a
 * pair of a symbol and where it really is, or by /proc/kallsyms of the same level: then other files of the kernel are
 * moved so that their `_text` (else `_stext`, else `startup_64`) is where that one has it.
 */
import { AnalysisError } from '../errors.js';
import type { SymbolFile } from './file.js';

/** A file and what its user says of it. */
export interface SymbolUse {
  readonly file: SymbolFile;
  /** Level that it serves; null: every level, and code of which no level is known. */
  readonly level: number | null;
  /** Added to every address of the file; a pair says it by where a symbol really is. Null: found, or 0. */
  readonly offset: bigint | { readonly symbol: string; readonly address: bigint } | null;
}

export interface Symbolized {
  readonly name: string;
  /** Bytes from the symbol's start. */
  readonly offset: bigint;
  /** The file that says so. */
  readonly file: string;
}

interface Placed {
  readonly use: SymbolUse;
  readonly offset: bigint;
}

/** Symbols at the start of a kernel's text. */
const ANCHORS = ['_text', '_stext', 'startup_64'] as const;
const MASK = 64;

export class Symbols {
  readonly #placed: readonly Placed[];
  readonly #known = new Map<string, Symbolized | null>();

  /** Throws AnalysisError NO_SYMBOL where a pair names a symbol that its file has not. */
  constructor(uses: readonly SymbolUse[]) {
    this.#placed = uses.map((use) => ({ use, offset: offsetOf(use, uses) }));
  }

  get empty(): boolean {
    return this.#placed.length === 0;
  }

  /** What was done to the addresses of each file, and other remarks, a sentence each. */
  get remarks(): readonly string[] {
    return this.#placed.flatMap(({ use: { file, offset: given }, offset }) => {
      const moved = offset === 0n || typeof given === 'bigint' ? null : `moved by ${signed(offset)}`;
      const lost = file.movable && offset === 0n ? 'it can be loaded anywhere: say where with @ADDRESS' : null;
      return [moved, lost, file.remark].flatMap((text) => (text === null ? [] : [`${file.name}: ${text}`]));
    });
  }

  /** Symbol of the code at an address, as the files in their order say; null where none does. */
  find(level: number | null, address: bigint): Symbolized | null {
    const id = `${level} ${address}`;
    let found = this.#known.get(id);
    if (found === undefined) {
      found = this.#find(level, address);
      if (this.#known.size < MOST_KNOWN) this.#known.set(id, found);
    }
    return found;
  }

  /** `name+0x1a`, or `name` at its start; null where no file names it. */
  label(level: number | null, address: bigint): string | null {
    const found = this.find(level, address);
    if (found === null) return null;
    return found.offset === 0n ? found.name : `${found.name}+0x${found.offset.toString(16)}`;
  }

  #find(level: number | null, address: bigint): Symbolized | null {
    for (const { use, offset } of this.#placed) {
      if (use.level !== null && use.level !== level) continue;
      const symbol = use.file.table.find(BigInt.asUintN(MASK, address - offset));
      if (symbol !== null) return { name: symbol.name, offset: symbol.offset, file: use.file.name };
    }
    return null;
  }
}

/** Addresses of which the symbol is remembered. */
const MOST_KNOWN = 100_000;

const signed = (value: bigint): string => (value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`);

function offsetOf(use: SymbolUse, uses: readonly SymbolUse[]): bigint {
  const { file, offset } = use;
  if (typeof offset === 'bigint') return offset;
  if (offset !== null) {
    const start = file.table.address(offset.symbol);
    if (start === null) throw new AnalysisError('NO_SYMBOL', file.name, offset.symbol);
    return offset.address - start;
  }
  const running = uses.find((other) => other.file.running && other.level === use.level);
  return running === undefined || running === use ? 0n : distance(file, running.file);
}

/** How far a running kernel lies from where a file of it has it; 0 where the file is of something else. */
function distance(file: SymbolFile, running: SymbolFile): bigint {
  for (const anchor of ANCHORS) {
    const [from, to] = [file.table.address(anchor), running.table.address(anchor)];
    if (from !== null && to !== null) return to - from;
  }
  return 0n;
}
