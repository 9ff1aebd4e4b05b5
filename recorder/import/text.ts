/**
 * Importer of the text of `trace-cmd report`, `perf script`, `trace_pipe` and tracefs `trace`: one grammar, because
 * they differ in their prefixes only.
 */
import { EVENT_FIELDS } from '../../engine/observer.js';
import type { TraceWriter } from '../../traces/store.js';
import { isAlone } from './between.js';
import { ImportError } from './errors.js';
import { LineReader } from './lines.js';
import type { ImportOptions, ImportResult } from './result.js';
import { type ByteSource, isEnded, memorySource } from './source.js';
import { StreamWriter } from './stream.js';
import { TextLines } from './text-lines.js';
import { saidOfDay, type TimeStyle, tellsTimes, timeStyleOf } from './times.js';
import { SAMPLE, stylesOf, type WrapStyle } from './wraps.js';

/** Bytes without one event after which an input counts as no trace; it may have no end. */
const PATIENCE = 64 << 20;
const BEHIND = 'cut off what stands before the recording, if there is one: `grep -a kvm_ FILE | trapline import -`';
const PROGRESS_LINES = 0x3fff;

/** How well a text reads in a style: lines that are damaged, and cells that are filled. */
interface Reading {
  readonly damaged: number;
  readonly cells: number;
}

function readingOf(sample: Uint8Array, style: WrapStyle | null, times: TimeStyle | null): Reading {
  let cells = 0;
  const writer = new StreamWriter((chunk) => {
    for (const name of EVENT_FIELDS) {
      const { valid } = chunk.column(name);
      for (let i = 0; i < chunk.rows; i++) cells += valid?.[i] ?? 1;
    }
  });
  const reader = new LineReader(memorySource(sample));
  const work = new TextLines(reader, () => writer, { brief: true }, style, times);
  while (reader.next()) work.line();
  work.end();
  writer.finish();
  return { damaged: work.damaged, cells };
}

/** How the lines of a text are wrapped: as it reads best by its first bytes; null where they are not. */
function wrapStyle(sample: Uint8Array, times: TimeStyle | null): WrapStyle | null {
  const end = sample.lastIndexOf(0x0a) + 1;
  const text = sample.slice(0, end);
  if (text.includes(0)) return null;
  const styles = stylesOf(text, isAlone);
  if (styles.length === 0) return null;
  let best: { readonly style: WrapStyle | null; readonly reading: Reading } = {
    style: null,
    reading: readingOf(text, null, times),
  };
  for (const style of styles) {
    const reading = readingOf(text, style, times);
    const { damaged, cells } = best.reading;
    if (reading.cells > cells || (reading.cells === cells && reading.damaged < damaged)) best = { style, reading };
  }
  return best.style;
}

/** A source that ends where nothing was found in as many bytes as it is worth reading. */
class Patience implements ByteSource {
  readonly #source: ByteSource;
  readonly name: string;
  readonly size: number;
  readonly readAt = null;
  #read = 0;
  found = false;
  /** It ended early. */
  isOver = false;

  constructor(source: ByteSource) {
    this.#source = source;
    this.name = source.name;
    this.size = source.size;
  }

  read(target: Uint8Array, at: number): number {
    const count = this.#source.read(target, at);
    this.#read += count;
    this.isOver = !this.found && count > 0 && this.#read > PATIENCE;
    return this.isOver ? 0 : count;
  }

  isStopped(): boolean {
    return isEnded(this.#source);
  }

  close(): void {
    this.#source.close();
  }
}

/** The first few lines of a text that is still being written: no more than tell how it writes its times. */
function liveSample(reader: LineReader): Uint8Array {
  while (reader.ahead.length < SAMPLE && !tellsTimes(reader.ahead)) if (!reader.more()) break;
  return reader.ahead;
}

/**
 * Imports a text. `open` makes the writer; it is called with the first event, so that what is no trace writes nothing.
 * Throws ImportError where there is no event at all; bytes that are no text are passed over, and the result says so: after
 * 64 such places without an event between them no more is read.
 */
export function importText(source: ByteSource, open: () => TraceWriter, options: ImportOptions = {}): ImportResult {
  const patience = new Patience(source);
  const reader = new LineReader(patience);
  const sample = options.live === true ? liveSample(reader) : reader.sample(SAMPLE);
  const times = timeStyleOf(sample);
  const style = options.live === true ? null : wrapStyle(sample, times);
  const work = new TextLines(reader, open, options, style, times);
  const ofDay = saidOfDay(sample);
  if (ofDay !== null) work.note(ofDay);
  try {
    while (!work.isBinary && reader.next()) {
      work.line();
      if ((reader.line & PROGRESS_LINES) === 0) options.progress?.(reader.consumed, source.size);
      patience.found ||= work.events > 0;
    }
  } catch (error) {
    if (!(error instanceof ImportError)) {
      work.abandon();
      throw error;
    }
    work.stopped ??= error;
  }
  work.stopped ??= source.cut?.() ?? null;
  work.end();
  if (work.events === 0 || patience.isOver) {
    work.abandon();
    throw ofNothing(work, reader, patience);
  }
  return work.finish(source);
}

/** Why a text is no trace. */
function ofNothing({ stopped, table }: TextLines, { line }: LineReader, { name, isOver }: Patience): ImportError {
  if (isOver) return new ImportError('NOT_A_TRACE', name, `none in its first ${PATIENCE >> 20} MiB`, BEHIND);
  if (stopped !== null) return stopped;
  if (line === 0) return new ImportError('EMPTY_INPUT', name);
  const read = line === 1 ? '1 line read' : `${line} lines read`;
  if (!table) return new ImportError('NOT_A_TRACE', name, read);
  const advice = 'import the recording that the table was made from';
  return new ImportError('NOT_A_TRACE', name, `${read}, among them a table of counts`, advice);
}
