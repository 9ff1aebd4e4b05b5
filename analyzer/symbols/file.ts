/** A file of symbols, whatever its format, which its content tells. */
import { COMPRESSED_HEAD, compressionOf } from '../../traces/compressed.js';
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

/** First bytes of MS-DOS programs (PE Format, "MS-DOS Stub"), which a kernel that firmware starts is too. */
const PROGRAM = [0x4d, 0x5a];

/** Why a file that begins so holds symbols only once it is unpacked; null where that is not known. */
function packed(head: Uint8Array): string | null {
  const compression = compressionOf(head);
  if (compression !== null)
    return `it is compressed with ${compression.name}: give what \`${compression.unpacks} FILE\` prints`;
  const isProgram = PROGRAM.every((byte, i) => head[i] === byte);
  return isProgram ? 'it is a boot image or a PE file: give its vmlinux or its System.map' : null;
}

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
  const why = packed(source.read(0, COMPRESSED_HEAD));
  if (why !== null) throw bad(why);
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
