/**
 * Symbols as text, one a line:
 * - System.map, /proc/kallsyms, `nm`: ADDRESS TYPE NAME, and [MODULE] behind it; `nm -S`: ADDRESS SIZE TYPE NAME where
 *   a symbol has a size, the size as wide as the address; `nm -l` ends lines with a tab and FILE:LINE, and `nm -A`
 *   begins them with FILE:
 * - `nm -P`: NAME TYPE ADDRESS SIZE, the size only where there is one
 * - `nm -f sysv`: NAME|ADDRESS|TYPE|KIND|SIZE|LINE|SECTION
 * - /tmp/perf-PID.map, which just-in-time compilers write: START SIZE NAME (tools/perf/Documentation/jit-interface.txt)
 * - ADDRESS NAME, as `ldsym` of Bochs reads it
 */
import { Radix } from './radix.js';
import { type SymbolFacts, type SymbolTable, SymbolTableBuilder } from './table.js';

export type TextFormat = 'map' | 'nm -f sysv' | 'perf map' | 'nm -P' | 'list';

export interface TextSymbols {
  readonly format: TextFormat;
  readonly table: SymbolTable;
  /** Some symbol is of a module: only /proc/kallsyms of a running kernel names them. */
  readonly modules: boolean;
  /** All addresses are zero, as the kernel shows them to those who may not see them. */
  readonly hidden: boolean;
  /** Whether its addresses are hexadecimal. */
  readonly radix: Radix;
  /** Lines that could not be read, and the number of the first; 0 where there are none. */
  readonly skipped: number;
  readonly firstSkipped: number;
}

interface LineSymbol {
  readonly start: string;
  readonly size: string;
  /** Letter of `nm`. */
  readonly type: string;
  readonly name: string;
}

const HEX = '(?:0x)?([0-9a-f]{1,16})';
const WIDE = '([0-9a-f]{8}|[0-9a-f]{16})';
/** What `nm -l` puts behind a symbol. */
const SOURCE = '(?:\\t.*)?';
const FORMATS: {
  readonly [format in TextFormat]: { readonly line: RegExp; read(match: RegExpExecArray): LineSymbol };
} = {
  map: {
    line: new RegExp(`^${HEX} (?:${WIDE} )?([a-z?-]) (\\S[^\\t]*(?:\\t\\[\\S+\\])?)${SOURCE}$`, 'i'),
    read: ([, start = '', size = '0', type = '', name = '']) => ({ start, size, type, name }),
  },
  'nm -f sysv': {
    line: new RegExp(`^(.+)\\| *${HEX} *\\| *([a-z?-]) *\\|[^|]*\\| *(?:${HEX} *)?\\|[^|]*\\|[^|]*$`, 'i'),
    read: ([, name = '', start = '', type = '', size = '0']) => ({ start, size, type, name: name.trimEnd() }),
  },
  'perf map': {
    line: new RegExp(`^${HEX} ${HEX} (\\S.*)$`, 'i'),
    read: ([, start = '', size = '0', name = '']) => ({ start, size, type: 't', name }),
  },
  'nm -P': {
    line: new RegExp(`^(\\S.*) ([a-z?-]) ${HEX}(?: ${HEX})?${SOURCE}$`, 'i'),
    read: ([, name = '', type = '', start = '', size = '0']) => ({ start, size, type, name }),
  },
  list: {
    line: new RegExp(`^${HEX}\\s+(\\S+)$`, 'i'),
    read: ([, start = '', name = '']) => ({ start, size: '0', type: 't', name }),
  },
};
const ORDER: readonly TextFormat[] = ['map', 'nm -f sysv', 'perf map', 'nm -P', 'list'];

/** Lines by which a format is told, and the part of them that has to be of it. */
const SAMPLE = 64;
const ENOUGH = 0.5;
const LONGEST_LINE = 4096;

/** What `nm -A` puts before an address, or the blanks that stand for one. */
const OF_FILE = /^[^\s:|]+:(?=(?:[0-9a-f]{8}|[0-9a-f]{16}|[ ]{8}|[ ]{16}) )/i;

function* linesOf(text: string): Generator<string> {
  for (let at = 0; at < text.length; ) {
    const newline = text.indexOf('\n', at);
    const end = newline < 0 ? text.length : newline;
    yield text
      .slice(at, Math.min(end, at + LONGEST_LINE))
      .trimEnd()
      .replace(OF_FILE, '');
    at = end + 1;
  }
}

/** Lines that hold nothing: blank, remarks, and what `nm` says of undefined symbols, of the file and of its columns. */
const IDLE: readonly RegExp[] = [
  /^(?:#|$)/,
  /^\s+[a-z] \S/i,
  /^(?!\d|[0-9a-f]{8})\S.* [uvw](?: *\t.*)?$/i,
  /^[^|]+\| +\| *[uvw] *\|/i,
  /^(?:\S+|(?:Undefined s|S)ymbols from .*):$/,
  /^Name +Value +Class +Type +Size +Line +Section$/,
];
const isIdle = (line: string): boolean => IDLE.some((pattern) => pattern.test(line));

function formatOf(text: string): TextFormat | null {
  const sample: string[] = [];
  for (const line of linesOf(text)) {
    if (!isIdle(line)) sample.push(line);
    if (sample.length === SAMPLE) break;
  }
  const fits = (format: TextFormat): number => sample.filter((line) => FORMATS[format].line.test(line)).length;
  return ORDER.find((format) => sample.length > 0 && fits(format) >= ENOUGH * sample.length) ?? null;
}

/** By letter of nm(1): whether it is code and how strong the name is; null where it has no address of its own. */
function factsOf(type: string, size: bigint): SymbolFacts | null {
  if (/[aAuUN-]/.test(type)) return null;
  const code = /[tTwWi]/.test(type);
  return { size, code, rank: /[wW]/.test(type) ? 0 : type >= 'a' ? 1 : 2 };
}

/** Symbols of a text, or null where it is none that this file knows. */
export function readTextSymbols(text: string): TextSymbols | null {
  const format = formatOf(text);
  if (format === null) return null;
  const { line: pattern, read } = FORMATS[format];
  const builder = new SymbolTableBuilder();
  const names: string[] = [];
  const radix = new Radix();
  let [number, skipped, firstSkipped, modules, hidden] = [0, 0, 0, false, true];
  for (const line of linesOf(text)) {
    number += 1;
    if (isIdle(line)) continue;
    const match = pattern.exec(line);
    if (match === null) {
      if (skipped === 0) firstSkipped = number;
      skipped += 1;
      continue;
    }
    const { start, size, type, name } = read(match);
    const facts = factsOf(type, BigInt(`0x${size}`));
    if (facts === null) continue;
    radix.take(start, size, line.toLowerCase().includes(`0x${start.toLowerCase()}`));
    const address = BigInt(`0x${start}`);
    if (address !== 0n) hidden = false;
    if (format === 'map' && /\s\[\S+\]$/.test(name)) modules = true;
    builder.add(address, facts);
    names.push(name.replace(/\s+/g, ' '));
  }
  const table = builder.build((index) => names[index] ?? '');
  return { format, table, modules, hidden: hidden && builder.count > 0, radix, skipped, firstSkipped };
}
