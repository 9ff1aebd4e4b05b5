/** Formats that a trace can be exported to. */
import type { TableName } from '../../traces/schema.js';
import type { TraceReader } from '../../traces/store.js';
import { IndexBeside } from '../profile/beside.js';
import { type ExitIndex, ExitIndexBuilder } from '../profile/exit-index.js';
import { COLUMNS } from '../profile/view.js';
import type { Symbols } from '../symbols/symbols.js';
import { exportCsv } from './csv.js';
import { type Exported, readChunks, type TextSink } from './document.js';
import { foldedLine, type Stack, stacksOf, type Weight } from './folded.js';
import { exportPerfetto } from './perfetto.js';
import { exportSpeedscope } from './speedscope.js';
import { flameGraph } from './svg.js';

export interface ExportOptions {
  /** Of csv. */
  readonly table: TableName;
  /** Of folded and svg. */
  readonly weight: Weight;
  /** Of folded, svg, speedscope and perfetto: names of guest addresses. */
  readonly symbols?: Symbols | null;
}

type Exporter = (reader: TraceReader, sink: TextSink, options: ExportOptions) => Exported;

/** The index that is kept beside a trace, else what its events give, up to the damage if there is any. */
function readIndex(reader: TraceReader): { index: ExitIndex; damage: Exported['damage'] } {
  const kept = new IndexBeside(reader).read();
  if (kept !== null) return { index: kept, damage: null };
  const builder = new ExitIndexBuilder();
  const damage = readChunks(reader, 'event', COLUMNS, (chunk) => builder.take(chunk));
  return { index: builder.finish(), damage };
}

function stacks(
  reader: TraceReader,
  { weight, symbols = null }: ExportOptions,
  write: (stacks: readonly Stack[], unit: string) => void,
): Exported {
  const { index, damage } = readIndex(reader);
  const found = stacksOf(index, (domain, code) => reader.name(domain, code), { weight, symbols });
  write(found, weight === 'exits' ? 'exits' : (index.unit ?? 'exits'));
  return { written: found.length, damage };
}

export const EXPORTS = {
  perfetto: { says: 'Trace Event JSON for ui.perfetto.dev', run: exportPerfetto },
  speedscope: { says: 'an evented profile for speedscope.app', run: exportSpeedscope },
  folded: {
    says: 'folded stacks for flamegraph.pl',
    run: (reader, sink, options) =>
      stacks(reader, options, (found) => {
        for (const stack of found) sink.write(`${foldedLine(stack)}\n`);
      }),
  },
  svg: {
    says: 'a flame graph',
    run: (reader, sink, options) =>
      stacks(reader, options, (found, unit) => sink.write(flameGraph(found, reader.path, unit))),
  },
  csv: { says: 'the rows of a table', run: (reader, sink, { table }) => exportCsv(reader, sink, table) },
} as const satisfies { readonly [format: string]: { readonly says: string; readonly run: Exporter } };
export type ExportFormat = keyof typeof EXPORTS;
