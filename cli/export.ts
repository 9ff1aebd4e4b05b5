/** `trapline export`: a trace in the formats of other tools. */
import {
  accessSync,
  closeSync,
  constants,
  existsSync,
  fchmodSync,
  mkdirSync,
  openSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { isatty } from 'node:tty';
import { fileWriter } from 'hyparquet-writer';
import { damageOf, type Exported, type TextSink } from '../analyzer/export/document.js';
import { EXPORTS, type ExportFormat } from '../analyzer/export/export.js';
import { DATASET_TABLES, exportParquet } from '../analyzer/export/parquet.js';
import { giveTo, keepAccess } from '../traces/access.js';
import { openTrace } from '../traces/open.js';
import { TABLE_NAMES } from '../traces/schema.js';
import type { TraceReader } from '../traces/store.js';
import { type Call, type Command, EXIT, JSON_OPTION } from './command.js';
import { CliError, describeError, formatError } from './errors.js';
import { refuseSame } from './files.js';
import { harmless } from './output.js';
import { openSymbols, SYMBOLS_DETAILS, SYMBOLS_OPTION } from './symbols.js';
import { formatCount } from './table.js';

/** Characters that are gathered before they are written. */
const PIECE = 1 << 18;

/** How a command line names standard output, and its descriptor. */
const DASH = '-';
const STDOUT = 1;
/** How long one waits for a pipe that is full. */
const FULL_WAIT_MS = 1;

/** Writes some of it; 0 where a pipe that does not block (Node opens such for standard output) is full for now. */
function writeSome(file: number, bytes: Uint8Array): number {
  try {
    return writeSync(file, bytes);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EAGAIN')) throw error;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_WAIT_MS);
    return 0;
  }
}

/** Says of which file an error of the operating system is, where it was told by an open one. */
function named(error: unknown, path: string): unknown {
  return error instanceof Error && 'code' in error && !('path' in error) ? Object.assign(error, { path }) : error;
}

/** Where what replaces a file or folder is written until it is whole. */
const besideOf = (path: string): string => join(dirname(path), `.trapline-export-${process.pid}`);

function isWritable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * A file that is whole or not there: one that it replaces stays until then. Pipes and devices are written in place, and so
 * is a file in a folder where nothing can stand beside it. `-` is standard output, whatever that is.
 */
class FileSink implements TextSink {
  readonly #path: string;
  /** What the path names, through links. */
  readonly #target: string;
  /** Where it is written, until it takes its place; null: it is no file of its own, and stays whatever comes. */
  readonly #own: string | null;
  readonly #file: number;
  #pieces: string[] = [];
  #length = 0;
  #closed = false;

  /** `replace` allows a file to be there. Throws the error of the operating system. */
  constructor(path: string, replace: boolean) {
    if (path === DASH) {
      this.#path = 'standard output';
      this.#target = path;
      this.#own = null;
      this.#file = STDOUT;
      return;
    }
    const there = replace ? statSync(path, { throwIfNoEntry: false }) : undefined;
    this.#path = path;
    this.#target = there?.isFile() === true ? realpathSync(path) : path;
    if (there === undefined) this.#own = path;
    else this.#own = there.isFile() && isWritable(dirname(this.#target)) ? besideOf(this.#target) : null;
    this.#file = openSync(this.#own ?? path, this.#own === null ? 'w' : 'wx');
    if (this.#own === null || there === undefined) return;
    giveTo(this.#own, there);
    fchmodSync(this.#file, there.mode);
  }

  write(text: string): void {
    this.#pieces.push(text);
    this.#length += text.length;
    if (this.#length >= PIECE) this.#flush();
  }

  #flush(): void {
    const text = this.#pieces.join('');
    const bytes = Buffer.from(this.#file === STDOUT && isatty(STDOUT) ? harmless(text) : text);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSome(this.#file, bytes.subarray(at));
    } catch (error) {
      throw named(error, this.#path);
    }
    this.#pieces = [];
    this.#length = 0;
  }

  close(): void {
    this.#flush();
    this.#closed = true;
    if (this.#file !== STDOUT) closeSync(this.#file);
    if (this.#own !== null && this.#own !== this.#target) renameSync(this.#own, this.#target);
  }

  /** Leaves nothing behind. */
  abandon(): void {
    if (!this.#closed && this.#file !== STDOUT) closeSync(this.#file);
    if (this.#own !== null) rmSync(this.#own, { force: true });
  }
}

/** Value of an option that is one of `known`; `fallback` where it was not given. */
function choice<T extends string>(call: Call, option: string, known: readonly T[], fallback: T): T {
  const text = call.value(option) ?? fallback;
  const found = known.find((candidate) => candidate === text);
  if (found !== undefined) return found;
  throw new CliError('BAD_VALUE', `export --${option} ${text}`, `one of ${known.join(', ')} is meant`);
}

const FORMATS = [...(Object.keys(EXPORTS) as ExportFormat[]), 'parquet'] as const;

/** What a format holds, of one and of many. */
const WRITTEN: { readonly [format in (typeof FORMATS)[number]]: readonly [one: string, many: string] } = {
  perfetto: ['slice or instant for Perfetto', 'slices and instants for Perfetto'],
  speedscope: ['exit for speedscope', 'exits for speedscope'],
  folded: ['folded stack', 'folded stacks'],
  svg: ['stack of a flame graph', 'stacks of a flame graph'],
  csv: ['row of CSV', 'rows of CSV'],
  parquet: ['row of Parquet', 'rows of Parquet'],
};

/** Options that some formats alone have a use for. */
const USED_BY: { readonly [option: string]: readonly (typeof FORMATS)[number][] } = {
  table: ['csv', 'parquet'],
  weight: ['folded', 'svg'],
  [SYMBOLS_OPTION.name]: ['folded', 'svg', 'speedscope', 'perfetto'],
};

function checkUse(call: Call, format: (typeof FORMATS)[number]): void {
  for (const [option, formats] of Object.entries(USED_BY)) {
    if (call.values(option).length === 0 || formats.includes(format)) continue;
    throw new CliError('BAD_VALUE', `export --${option} --as ${format}`, `it goes with ${formats.join(', ')}`);
  }
}

/** What cannot go to standard output. */
function refuseDash(call: Call, format: (typeof FORMATS)[number]): void {
  if (format === 'parquet')
    throw new CliError('BAD_VALUE', 'export -o - --as parquet', 'a dataset is a folder', 'name one');
  if (call.flag('json')) throw new CliError('BAD_VALUE', 'export -o - --json', 'both would go to standard output');
}

/** Stands in a dataset of ours; names with an underscore are no data to Spark, DuckDB and ClickHouse. */
const MARK = '_trapline.json';

/** Whether a dataset is to be replaced: with --replace one that we wrote. A new folder, or an empty one, is there for it. */
function isReplaced(path: string, replace: boolean): boolean {
  if (!existsSync(path) || readdirSync(path).length === 0) return false;
  if (!replace) throw new CliError('EXISTS', path);
  if (existsSync(join(path, MARK))) return true;
  throw new CliError('EXISTS', path, 'trapline export did not write it', 'name another folder');
}

/** Writes a dataset into a folder that is new or empty; nothing of it is left where that fails. */
function writeDataset(call: Call, reader: TraceReader, folder: string): Exported {
  const made = mkdirSync(folder, { recursive: true }) !== undefined;
  const mark = (rows: number | null): void => {
    const facts = { format: 'trapline parquet 1', from: reader.path, digest: reader.run('digest'), rows };
    writeFileSync(join(folder, MARK), `${JSON.stringify(facts)}\n`);
  };
  const tables = call.value('table') === null ? DATASET_TABLES : [choice(call, 'table', DATASET_TABLES, 'event')];
  try {
    // Until the end it says that the dataset is not whole.
    mark(null);
    const exported = exportParquet(reader, tables, (path) => {
      const file = join(folder, path);
      mkdirSync(dirname(file), { recursive: true });
      return fileWriter(file);
    });
    mark(exported.written);
    return exported;
  } catch (error) {
    for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true });
    if (made) rmdirSync(folder);
    throw error;
  }
}

function exportDataset(call: Call, reader: TraceReader, target: string): Exported {
  try {
    if (!isReplaced(target, call.flag('replace'))) return writeDataset(call, reader, target);
    const old = realpathSync(target);
    const beside = besideOf(old);
    const exported = writeDataset(call, reader, beside);
    keepAccess(old, beside);
    rmSync(old, { recursive: true });
    renameSync(beside, old);
    return exported;
  } catch (error) {
    throw named(error, target);
  }
}

function exportFile(call: Call, reader: TraceReader, target: string, format: ExportFormat): Exported {
  const options = {
    table: choice(call, 'table', TABLE_NAMES, 'event'),
    weight: choice(call, 'weight', ['time', 'exits'], 'time'),
    symbols: openSymbols(call),
  };
  const sink = new FileSink(target, call.flag('replace'));
  try {
    const exported = EXPORTS[format].run(reader, sink, options);
    sink.close();
    return exported;
  } catch (error) {
    sink.abandon();
    throw error;
  }
}

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'a trace; foreign files are to be imported first' }],
  options: [
    {
      name: 'output',
      short: 'o',
      value: 'FILE',
      says: 'file to write, - for standard output; a folder for parquet',
    },
    { name: 'as', value: 'FORMAT', says: `one of ${FORMATS.join(', ')}` },
    { name: 'table', value: 'NAME', says: 'table to write as csv (event) or parquet (all)' },
    { name: 'weight', value: 'WHAT', says: 'what stacks weigh as folded and svg: time or exits (time)' },
    SYMBOLS_OPTION,
    { name: 'replace', says: 'replace a file of that name' },
    JSON_OPTION,
  ],
  details: [
    `${Object.entries(EXPORTS)
      .map(([format, { says }]) => `${format}: ${says}`)
      .join('; ')}; parquet: a partitioned dataset, event/kind=exit/part-0.parquet and so on.`,
    'A dataset has the columns of the trace, and names of reasons and tracepoints besides; u64 is unsigned. DuckDB reads it by ' +
      "read_parquet('DIR/event/*/*.parquet', hive_partitioning = true), Spark by spark.read.parquet('DIR/event'), " +
      "ClickHouse by SELECT kind, count() FROM file('DIR/event/kind=*/*.parquet', Parquet) GROUP BY kind " +
      'SETTINGS use_hive_partitioning = 1, where DIR of a server lies in its user_files_path. ' +
      'Numbers in CSV go up to 2^64 - 1: programs that guess types may make floating-point numbers of them.',
    'Exits are slices from the exit to the entry that takes the same level up again, so that the work of L1 for an exit ' +
      'of L2 lies inside it. A tick of the deterministic machine is shown as a nanosecond. speedscope reads ' +
      'the file for Perfetto too, but may lay exits inside one before them that lasts no time. Where the trace is damaged, ' +
      'the file holds what could be read, and the exit code is 2.',
    `${SYMBOLS_DETAILS} They name functions in folded, svg, speedscope and perfetto.`,
  ],
  json: {
    path: 'the file or folder that was written',
    from: 'the trace',
    as: 'the format',
    written: 'slices and instants (perfetto), exits (speedscope), stacks (folded, svg) or rows (csv, parquet)',
    whole: 'whether the trace could be read to its end',
  },
  examples: [
    { line: 'trapline export run.sqlite -o run.json --as perfetto', says: 'to be opened in ui.perfetto.dev' },
    { line: 'trapline export run.arrow -o memory.csv --as csv --table memory', says: 'the memory accesses' },
    { line: 'trapline export run.arrow -o - --as folded | flamegraph.pl > run.svg', says: 'into a pipe' },
    { line: 'trapline export kvm.arrow -o kvm --as parquet', says: 'a dataset for DuckDB, Spark or ClickHouse' },
  ],
  run(call) {
    const [path = ''] = call.args;
    const target = call.needed('output');
    call.needed('as');
    const format = choice(call, 'as', FORMATS, 'csv');
    checkUse(call, format);
    if (target === DASH) refuseDash(call, format);
    else refuseSame(path, target);
    const reader = openTrace(path);
    try {
      const exported =
        format === 'parquet' ? exportDataset(call, reader, target) : exportFile(call, reader, target, format);
      const { written, remark } = exported;
      // all but csv print names, whose damage they do not meet
      const damage = exported.damage ?? (format === 'csv' ? null : damageOf(reader, 'dictionary'));
      if (remark !== undefined) call.out.note(`${target === DASH ? 'standard output' : target}: ${remark}`);
      if (call.flag('json')) call.out.json({ path: target, from: path, as: format, written, whole: damage === null });
      else if (target !== DASH && target !== '/dev/stdout')
        call.out.line(`${target}: ${formatCount(written, ...WRITTEN[format])}`);
      const described = damage === null ? null : describeError(damage);
      if (described !== null) call.out.note(formatError(described));
      return damage === null ? EXIT.holds : EXIT.wrong;
    } finally {
      reader.close();
    }
  },
};
