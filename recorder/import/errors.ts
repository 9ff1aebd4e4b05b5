/** Errors of the importers: what they say, and what to do. */
export const IMPORT_ERRORS = {
  EMPTY_INPUT: { what: 'the input is empty', advice: 'check the command that wrote it' },
  NOT_A_TRACE: {
    what: 'no line of a trace found',
    advice: 'text of `trace-cmd report`, `perf script`, `trace_pipe` or tracefs `trace` is understood',
  },
  BINARY_TRACE: { what: 'a binary trace, not its text', advice: 'pipe its text in' },
  BINARY_INPUT: { what: 'bytes that are no text', advice: 'cut the file before them; what came before is kept' },
  LINE_TOO_LONG: { what: 'line too long for a trace', advice: 'cut the file before it; what came before is kept' },
  TRUNCATED: { what: 'the file ends before its data does', advice: 'copy it again; what came before is kept' },
  CORRUPT: { what: 'the file contradicts itself', advice: 'copy it again; what could be read is kept' },
  UNSUPPORTED: { what: 'a form of the format that is not read', advice: 'import its text instead' },
  NO_EVENTS: { what: 'a recording without a single event', advice: 'check what was recorded' },
  TOO_MANY_THREADS: { what: 'too many threads for one trace', advice: 'split the input' },
} as const;
export type ImportErrorCode = keyof typeof IMPORT_ERRORS;

// biome-ignore lint/suspicious/noControlCharactersInRegex: input may hold any byte, and none may reach a terminal
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/** Text of an input as it may be printed: what is no character is a replacement character. */
export const printable = (text: string): string => text.replace(CONTROL, '\ufffd');

export class ImportError extends Error {
  readonly code: ImportErrorCode;
  readonly what: string;
  /** File, line and byte offset as far as they are known. */
  readonly where: string;
  readonly why: string | null;
  readonly advice: string;

  constructor(code: ImportErrorCode, where: string, said: string | null = null, advice: string | null = null) {
    const why = said === null ? null : printable(said);
    super(`${IMPORT_ERRORS[code].what}: ${where}${why === null ? '' : `: ${why}`}`);
    this.name = 'ImportError';
    this.code = code;
    this.what = IMPORT_ERRORS[code].what;
    this.where = where;
    this.why = why;
    this.advice = advice ?? IMPORT_ERRORS[code].advice;
  }
}
