/** Entry of the importers: tells formats apart by their content, never by a file's name. */
import type { TraceWriter } from '../../traces/store.js';
import { ImportError } from './errors.js';
import { LineReader } from './lines.js';
import type { ImportResult } from './result.js';
import type { ByteSource } from './source.js';
import { type ImportOptions, importText } from './text.js';

/**
 * First bytes of binary formats: trace-cmd.dat(5), the file formats of perf (tools/perf/Documentation/
 * perf.data-file-format.txt), SQLite ("Database File Format"), Arrow IPC, gzip (RFC 1952), zstd (RFC 8878), xz, ELF.
 */
const MAGIC: readonly { readonly bytes: readonly number[]; readonly says: string; readonly advice: string }[] = [
  {
    bytes: [0x17, 0x08, 0x44, 0x74, 0x72, 0x61, 0x63, 0x69, 0x6e, 0x67],
    says: 'a trace.dat of trace-cmd',
    advice: 'run `trace-cmd report FILE | trapline import -`',
  },
  {
    bytes: [0x50, 0x45, 0x52, 0x46, 0x49, 0x4c, 0x45, 0x32],
    says: 'a perf.data of perf',
    advice: 'run `perf script -i FILE | trapline import -`',
  },
  { bytes: [0x53, 0x51, 0x4c, 0x69, 0x74, 0x65, 0x20], says: 'an SQLite database', advice: 'a trace needs no import' },
  { bytes: [0x1f, 0x8b], says: 'compressed with gzip', advice: 'run `zcat FILE | trapline import -`' },
  { bytes: [0x28, 0xb5, 0x2f, 0xfd], says: 'compressed with zstd', advice: 'run `zstdcat FILE | trapline import -`' },
  { bytes: [0xfd, 0x37, 0x7a, 0x58, 0x5a], says: 'compressed with xz', advice: 'run `xzcat FILE | trapline import -`' },
  { bytes: [0x7f, 0x45, 0x4c, 0x46], says: 'an ELF program', advice: 'name a trace' },
];

/** Imports whatever the source holds; see importText for what it throws and returns. */
export function importTrace(source: ByteSource, open: () => TraceWriter, options: ImportOptions = {}): ImportResult {
  const reader = new LineReader(source);
  const head = reader.head(16);
  const magic = MAGIC.find(({ bytes }) => bytes.every((byte, i) => head[i] === byte));
  if (magic !== undefined) throw new ImportError('BINARY_TRACE', source.name, magic.says, magic.advice);
  return importText(source, open, options, reader);
}
