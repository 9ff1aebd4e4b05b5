/** `trapline export`: a trace in the formats of other tools. */
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Exported, TextSink } from '../analyzer/export/document.js';
import { EXPORTS, type ExportFormat } from '../analyzer/export/export.js';
import { openTrace } from '../traces/open.js';
import { TABLE_NAMES } from '../traces/schema.js';
import { type Call, type Command, EXIT, JSON_OPTION } from './command.js';
import { CliError, describeError, formatError } from './errors.js';
import { refuseSame } from './files.js';
import { openSymbols, SYMBOLS_DETAILS, SYMBOLS_OPTION } from './symbols.js';
import { formatNumber } from './table.js';

/** Characters that are gathered before they are written. */
const PIECE = 1 << 18;

class FileSink implements TextSink {
  readonly #file: number;
  #pieces: string[] = [];
  #length = 0;

  /** `replace` allows a file to be there. Throws the error of the operating system. */
  constructor(path: string, replace: boolean) {
    this.#file = openSync(path, replace ? 'w' : 'wx');
  }

  write(text: string): void {
    this.#pieces.push(text);
    this.#length += text.length;
    if (this.#length >= PIECE) this.#flush();
  }

  #flush(): void {
    const bytes = Buffer.from(this.#pieces.join(''));
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
    this.#pieces = [];
    this.#length = 0;
  }

  close(): void {
    try {
      this.#flush();
    } finally {
      closeSync(this.#file);
    }
  }
}

/** Value of an option that is one of `known`; `fallback` where it was not given. */
function choice<T extends string>(call: Call, option: string, known: readonly T[], fallback: T): T {
  const text = call.value(option) ?? fallback;
  const found = known.find((candidate) => candidate === text);
  if (found !== undefined) return found;
  throw new CliError('BAD_VALUE', `export --${option} ${text}`, `one of ${known.join(', ')} is meant`);
}

const FORMATS = Object.keys(EXPORTS) as ExportFormat[];

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'a trace; foreign files are to be imported first' }],
  options: [
    { name: 'output', short: 'o', value: 'FILE', says: 'file to write; /dev/stdout with --replace for a pipe' },
    { name: 'as', value: 'FORMAT', says: `one of ${FORMATS.join(', ')}` },
    { name: 'table', value: 'NAME', says: 'table to write as csv (event)' },
    { name: 'weight', value: 'WHAT', says: 'what stacks weigh as folded and svg: time or exits (time)' },
    SYMBOLS_OPTION,
    { name: 'replace', says: 'replace a file of that name' },
    JSON_OPTION,
  ],
  details: [
    `${FORMATS.map((format) => `${format}: ${EXPORTS[format].says}`).join('; ')}.`,
    'Exits are slices from the exit to the entry that takes the same level up again, so that the work of L1 for an exit ' +
      'of L2 lies inside it. A tick of the deterministic machine is shown as a nanosecond. Where the trace is damaged, ' +
      'the file holds what could be read, and the exit code is 2.',
    `${SYMBOLS_DETAILS} They name functions in folded, svg, speedscope and perfetto.`,
  ],
  json: {
    path: 'the file that was written',
    from: 'the trace',
    as: 'the format',
    written: 'slices and instants (perfetto), exits (speedscope), stacks (folded, svg) or rows (csv)',
    whole: 'whether the trace could be read to its end',
  },
  examples: [
    { line: 'trapline export run.sqlite -o run.json --as perfetto', says: 'to be opened in ui.perfetto.dev' },
    { line: 'trapline export run.arrow -o memory.csv --as csv --table memory', says: 'the memory accesses' },
  ],
  run(call) {
    const [path = ''] = call.args;
    const target = call.needed('output');
    call.needed('as');
    const format = choice(call, 'as', FORMATS, 'csv');
    const table = choice(call, 'table', TABLE_NAMES, 'event');
    const weight = choice(call, 'weight', ['time', 'exits'], 'time');
    const symbols = openSymbols(call);
    refuseSame(path, target);
    const reader = openTrace(path);
    try {
      const sink = new FileSink(target, call.flag('replace'));
      let exported: Exported;
      try {
        exported = EXPORTS[format].run(reader, sink, { table, weight, symbols });
      } finally {
        sink.close();
      }
      const { written, damage, remark } = exported;
      if (remark !== undefined) call.out.note(`${target}: ${remark}`);
      if (call.flag('json')) call.out.json({ path: target, from: path, as: format, written, whole: damage === null });
      else if (target !== '/dev/stdout') call.out.line(`${target}: ${formatNumber(written)} written as ${format}`);
      const described = damage === null ? null : describeError(damage);
      if (described !== null) call.out.note(formatError(described));
      return damage === null ? EXIT.holds : EXIT.wrong;
    } finally {
      reader.close();
    }
  },
};
