/** What the options of a trace.dat hold: numbers and names as text, the clock, a guest (trace-cmd.dat.v7(5), "OPTIONS SECTION"). */
import type { Scanner } from './scanner.js';

/** Bytes of a text that is a name or a number. */
const MAX_TEXT = 4096;

export interface Guest {
  readonly name: string;
  /** Host thread of each vCPU. */
  readonly threads: ReadonlyMap<number, number>;
}

/** All that is left of an option. */
export const textOf = (option: Scanner): string => option.text(option.left, 'an option');

/** A decimal or 0x number as strtoll reads it; 0 where there is none. */
export function integerOf(text: string): bigint {
  const found = /^\s*([+-]?)(0x[0-9a-f]{1,16}|\d{1,20})/i.exec(text);
  if (found === null) return 0n;
  const value = BigInt.asIntN(64, BigInt(found[2] ?? 0));
  return found[1] === '-' ? -value : value;
}

/** The clock of tracefs's `trace_clock`, the one in brackets; a name alone is itself. */
export function clockOf(text: string): string {
  const start = text.slice(0, MAX_TEXT);
  return /\[([^\][]+)\]/.exec(start)?.[1] ?? start.trim();
}

/** A name behind its length in 64 bits; null where no name of that length can be there. */
export function readSized(scanner: Scanner, what: string): string | null {
  if (scanner.left < 8) return null;
  const size = scanner.big(`size of ${what}`);
  return size === 0n || size > MAX_TEXT || size > scanner.left ? null : scanner.text(Number(size), what);
}

export function readGuest(option: Scanner): Guest {
  const name = option.string('name of a guest');
  option.skip(8, 'trace id of a guest');
  const count = option.u32('vCPUs of a guest');
  const threads = new Map<number, number>();
  for (let i = 0; i < count; i++) {
    const vcpu = option.u32('a vCPU');
    threads.set(option.u32('thread of a vCPU'), vcpu);
  }
  return { name, threads };
}
