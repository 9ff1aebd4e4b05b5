/** Errors of the importers: what they say, and what to do. */
import { CodedError, type ErrorSpec, printable } from '../../engine/errors.js';

export const IMPORT_ERRORS = {
  EMPTY_INPUT: { what: 'the input is empty', advice: 'check the command that wrote it' },
  NOT_A_TRACE: {
    what: 'no line of a trace found',
    advice: 'text of `trace-cmd report`, `perf script`, `trace_pipe` or tracefs `trace` is understood',
  },
  BINARY_TRACE: { what: 'a binary trace, not its text', advice: 'pipe its text in' },
  BINARY_INPUT: { what: 'bytes that are no text', advice: 'copy it again; what could be read is kept' },
  LINE_TOO_LONG: { what: 'line too long for a trace', advice: 'check what wrote it; what could be read is kept' },
  TRUNCATED: { what: 'the file ends before its data does', advice: 'copy it again; what came before is kept' },
  CORRUPT: { what: 'the file contradicts itself', advice: 'copy it again; what could be read is kept' },
  UNSUPPORTED: { what: 'a form of the format that is not read', advice: 'import its text instead' },
  NO_EVENTS: { what: 'a recording without a single event', advice: 'check what was recorded' },
  READ_FAILED: { what: 'the input cannot be read to its end', advice: 'what came before is kept' },
  INTERRUPTED: { what: 'interrupted before the end of the input', advice: 'what came before is kept' },
  TOO_MANY_THREADS: { what: 'too many threads for one trace', advice: 'split the input' },
} as const satisfies { readonly [code: string]: ErrorSpec };
export type ImportErrorCode = keyof typeof IMPORT_ERRORS;

/** Characters of what an input makes an error say: names in it may have any length. */
const MOST_SAID = 600;

const clipped = (text: string): string => (text.length > MOST_SAID ? `${text.slice(0, MOST_SAID)}…` : text);

export class ImportError extends CodedError<ImportErrorCode> {
  /** `where`: file, line and byte offset as far as they are known. */
  constructor(code: ImportErrorCode, where: string, why: string | null = null, advice: string | null = null) {
    super(IMPORT_ERRORS[code], code, where, why === null ? null : printable(clipped(why)), advice);
  }
}
