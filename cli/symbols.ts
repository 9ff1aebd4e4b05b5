/** `--symbols`: files of symbols as a call names them. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { type ByteSource, bytesSource } from '../analyzer/symbols/elf.js';
import { readSymbolFile, type SymbolFile } from '../analyzer/symbols/file.js';
import { Symbols, type SymbolUse } from '../analyzer/symbols/symbols.js';
import type { Call, Option } from './command.js';
import { CliError } from './errors.js';
import { readBounded } from './files.js';

export const SYMBOLS_OPTION: Option = {
  name: 'symbols',
  value: '[Ln=]FILE[@WHERE]',
  repeats: true,
  says: 'name guest addresses: ELF, System.map, kallsyms, nm or perf map; may be repeated',
};

export const SYMBOLS_DETAILS =
  'Symbols are asked for in the order of their files; Ln= limits a file to code of level n. @OFFSET is added to each of ' +
  'its addresses (where a position-independent program was loaded, how far KASLR moved a kernel), and @NAME=ADDRESS ' +
  'says the same by where a symbol really is. Where /proc/kallsyms of the running guest is given too, other files of ' +
  'the kernel are moved to where that has _text.';

/** Bytes of a file that has no size of its own: a pipe, /proc. */
const MOST_PIPED = 256 * 2 ** 20;

/** A file of which a parser reads what it needs. */
class FileBytes implements ByteSource {
  readonly #file: number;
  readonly size: number;

  constructor(file: number, size: number) {
    this.#file = file;
    this.size = size;
  }

  read(at: number, length: number): Uint8Array {
    const bytes = new Uint8Array(Math.max(0, Math.min(length, this.size - at)));
    let done = 0;
    while (done < bytes.length) {
      const got = readSync(this.#file, bytes, done, bytes.length - done, at + done);
      if (got === 0) break;
      done += got;
    }
    return bytes.subarray(0, done);
  }
}

function readFile(path: string): SymbolFile {
  const file = openSync(path, 'r');
  try {
    const stat = fstatSync(file);
    const source =
      stat.isFile() && stat.size > 0 ? new FileBytes(file, stat.size) : bytesSource(readBounded(path, MOST_PIPED));
    return readSymbolFile(source, path);
  } finally {
    closeSync(file);
  }
}

const WHERE = /^(.+)@(?:([+-]?(?:0x[0-9a-f]+|[0-9]+))|([^@=]+)=(?:0x)?([0-9a-f]+))$/i;

function readNumber(text: string): bigint {
  return text.startsWith('-') ? -BigInt(text.slice(1)) : BigInt(text.replace('+', ''));
}

/** One value of the option. What is no level and no place is a part of the file's name. */
export function readUse(text: string): Omit<SymbolUse, 'file'> & { readonly path: string } {
  const [, digit, rest = text] = /^L(\d)=(.*)$/s.exec(text) ?? [];
  const level = digit === undefined ? null : Number(digit);
  const [, path, offset, symbol, address] = WHERE.exec(rest) ?? [];
  if (path === undefined) return { path: rest, level, offset: null };
  if (offset !== undefined) return { path, level, offset: readNumber(offset) };
  return { path, level, offset: { symbol: symbol ?? '', address: BigInt(`0x${address}`) } };
}

/**
 * Symbols of all files that a call names, null where it names none. What their user has to know is noted.
 * @throws CliError BAD_VALUE, AnalysisError BAD_SYMBOLS or NO_SYMBOL, or the error of the operating system
 */
export function openSymbols(call: Call): Symbols | null {
  const uses = call.values(SYMBOLS_OPTION.name).map((text): SymbolUse => {
    const { path, ...use } = readUse(text);
    if (path === '') throw new CliError('BAD_VALUE', `${call.command} --symbols ${text}`, 'a file is meant');
    return { ...use, file: readFile(path) };
  });
  if (uses.length === 0) return null;
  const symbols = new Symbols(uses);
  for (const remark of symbols.remarks) call.out.note(remark);
  return symbols;
}
