/** A file of symbols, whatever its format, which its content tells. */
import { AnalysisError } from '../errors.js';
import { type ByteSource, ElfFault, isElf, readElfSymbols } from './elf.js';
import type { SymbolTable } from './table.js';
import { readTextSymbols, type TextFormat } from './text.js';

export interface SymbolFile {
  /** Its path, for messages. */
  readonly name: string;
  readonly format: 'ELF' | TextFormat;
  readonly table: SymbolTable;
  /** Addresses count from where the file was loaded, which it does not say. */
  readonly movable: boolean;
  /** It says where things lie in a running kernel: /proc/kallsyms. */
  readonly running: boolean;
  /** What its user has to know; null where there is nothing. */
  readonly remark: string | null;
}

const MOST_TEXT = 256 * 2 ** 20;
const decoder = new TextDecoder('utf-8', { fatal: false });

/** First bytes of files that hold symbols only once they are unpacked. */
const PACKED: readonly { readonly magic: readonly number[]; readonly why: string }[] = [
  { magic: [0x1f, 0x8b], why: 'it is compressed with gzip: unpack it first' },
  { magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a], why: 'it is compressed with xz: unpack it first' },
  { magic: [0x28, 0xb5, 0x2f, 0xfd], why: 'it is compressed with zstd: unpack it first' },
  { magic: [0x4d, 0x5a], why: 'it is a boot image or a PE file: give its vmlinux or its System.map' },
];

/**
 * Reads a file of symbols.
 * @throws AnalysisError BAD_SYMBOLS
 */
export function readSymbolFile(source: ByteSource, name: string): SymbolFile {
  const bad = (why: string): AnalysisError => new AnalysisError('BAD_SYMBOLS', name, why);
  if (isElf(source)) {
    try {
      const { table, movable } = readElfSymbols(source);
      if (table.count === 0) throw bad('its symbol table is empty');
      return { name, format: 'ELF', table, movable, running: false, remark: null };
    } catch (error) {
      if (error instanceof ElfFault) throw bad(error.message);
      if (error instanceof RangeError) throw bad('it is damaged');
      throw error;
    }
  }
  const head = source.read(0, 8);
  const packed = PACKED.find(({ magic }) => magic.every((byte, i) => head[i] === byte));
  if (packed !== undefined) throw bad(packed.why);
  if (source.size > MOST_TEXT) throw bad(`text of more than ${MOST_TEXT / 2 ** 20} MiB`);
  const read = readTextSymbols(decoder.decode(source.read(0, source.size)));
  if (read === null) throw bad('neither ELF, nor System.map, kallsyms, nm or a perf map');
  if (read.hidden) throw bad('every address is zero: read /proc/kallsyms as root, with kptr_restrict at 0 or 1');
  const { format, table, modules, radix, skipped, firstSkipped } = read;
  if (radix.doubt !== null) throw bad(radix.doubt);
  const remarks = [
    ...(skipped === 0 ? [] : [`${skipped} lines are no symbols, the first is line ${firstSkipped}`]),
    ...(radix.isOpen ? ['no address has a digit above 9: they are read as hexadecimal ones'] : []),
  ];
  const remark = remarks.length === 0 ? null : remarks.join('; ');
  return { name, format, table, movable: false, running: modules, remark };
}
