/** Entry of the importers: tells formats apart by their content, never by a file's name. */
import { compressionOf, unpackFor } from '../../traces/compressed.js';
import type { TraceWriter } from '../../traces/store.js';
import { importTraceDat } from './binary/import-tracedat.js';
import { importPerf } from './binary/perf.js';
import { importXentrace } from './binary/xentrace.js';
import { ImportError } from './errors.js';
import type { ImportOptions, ImportResult } from './result.js';
import { type ByteSource, isEnded, peek } from './source.js';
import { importText } from './text.js';
import { causeOf } from './work.js';

interface Other {
  readonly says: string;
  readonly advice: string;
}

/** First bytes of binary files that are no trace of another tool, beside compressed ones: SQLite ("Database File Format"), ELF. */
const MAGIC: readonly (Other & { readonly bytes: readonly number[] })[] = [
  { bytes: [0x53, 0x51, 0x4c, 0x69, 0x74, 0x65, 0x20], says: 'an SQLite database', advice: 'a trace needs no import' },
  { bytes: [0xff, 0xfe], says: 'text in UTF-16', advice: 'run `iconv -f utf-16 -t utf-8 FILE | trapline import -`' },
  { bytes: [0xfe, 0xff], says: 'text in UTF-16', advice: 'run `iconv -f utf-16 -t utf-8 FILE | trapline import -`' },
  { bytes: [0x7f, 0x45, 0x4c, 0x46], says: 'an ELF program', advice: 'name a trace' },
];

type Importer = (source: ByteSource, open: () => TraceWriter, options: ImportOptions, head: Uint8Array) => ImportResult;

/**
 * First bytes of the binary formats that are read: trace-cmd.dat.v7(5), perf.data-file-format.txt (of either byte order),
 * xen/include/public/trace.h (TRC_TRACE_CPU_CHANGE with two words).
 */
const BINARY: readonly { readonly bytes: readonly number[]; readonly imports: Importer }[] = [
  { bytes: [0x17, 0x08, 0x44, 0x74, 0x72, 0x61, 0x63, 0x69, 0x6e, 0x67], imports: importTraceDat },
  { bytes: [0x50, 0x45, 0x52, 0x46, 0x49, 0x4c, 0x45, 0x32], imports: importPerf },
  { bytes: [0x32, 0x45, 0x4c, 0x49, 0x46, 0x52, 0x45, 0x50], imports: importPerf },
  { bytes: [0x03, 0xf0, 0x01, 0x20], imports: importXentrace },
];
const HEAD = 16;

/** Bits of a page's commit that say where events are missing (RB_MISSED_EVENTS), and the most bytes that a page commits. */
const MISSED = 0xc000_0000;
const MOST_COMMITTED = 0xffff;

/**
 * A page of the ring buffer as trace-cmd copies it for each CPU: its time stamp, then how many bytes of records it has, in
 * whole words (struct buffer_data_page of kernel/trace/ring_buffer.c).
 */
function isRingPage(head: Uint8Array): boolean {
  if (head.length < HEAD) return false;
  const view = new DataView(head.buffer, head.byteOffset, HEAD);
  const committed = view.getUint32(8, true) & ~MISSED;
  const isSize = committed > 0 && committed <= MOST_COMMITTED && committed % 4 === 0 && view.getUint32(12, true) === 0;
  return isSize && view.getBigUint64(0, true) > 0n;
}

const RING_PAGES: Other = {
  says: 'pages of a ring buffer, left by a trace-cmd that died',
  // trace-cmd-restore(1)
  advice:
    'run `trace-cmd restore trace.dat.cpu*` on the host that recorded it, and import the trace.dat that it writes',
};

const starts =
  (head: Uint8Array) =>
  ({ bytes }: { readonly bytes: readonly number[] }): boolean =>
    bytes.every((byte, i) => head[i] === byte);

/** What a file is that is no trace. */
function otherOf(head: Uint8Array): Other | undefined {
  const compression = compressionOf(head);
  if (compression !== null)
    return { says: `compressed with ${compression.name}`, advice: unpackFor(compression, 'import') };
  return MAGIC.find(starts(head)) ?? (isRingPage(head) ? RING_PAGES : undefined);
}

/**
 * Imports whatever the source holds. `open` makes the writer; it is called with the first event, so that what is no
 * trace writes nothing. Throws ImportError where there is no event at all; where reading has to stop before the end,
 * what came before is kept and the result says so.
 */
export function importTrace(given: ByteSource, open: () => TraceWriter, options: ImportOptions = {}): ImportResult {
  const { head, whole: source } = peek(given, HEAD);
  const binary = BINARY.find(starts(head));
  const other = binary === undefined ? otherOf(head) : undefined;
  if (other !== undefined) throw new ImportError('BINARY_TRACE', source.name, other.says, other.advice);
  try {
    if (binary === undefined) return importText(source, open, options);
    return binary.imports(source, open, { isEnded: () => isEnded(source), ...options }, head);
  } catch (error) {
    throw error instanceof ImportError ? ofNothing(causeOf(error, source)) : error;
  }
}

const COPY = 'copy it again; nothing of it can be read without the part that is missing';
/** What to do about an error that ended an import before its first event: nothing is kept, and nothing may be promised. */
const OF_NOTHING: { readonly [code: string]: string } = {
  TRUNCATED: COPY,
  CORRUPT: COPY,
  BINARY_INPUT: 'name a recording of trace-cmd, perf or xentrace, or its text: this is none that is known',
  READ_FAILED: 'no event came before: nothing is kept',
  INTERRUPTED: 'no event came before: nothing is kept',
};

function ofNothing(error: ImportError): ImportError {
  const { code, where, why } = error;
  const advice = OF_NOTHING[code];
  return advice === undefined ? error : new ImportError(code, where, why, advice);
}
