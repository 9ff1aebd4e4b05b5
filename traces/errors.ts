/**
 * Errors of the traces room. Every failure has a code, listed here with what it means, why it comes up and what to do
 * about it; a message is one line that names the file and, where there is one, the place in it.
 */
export const TRACE_ERRORS = {
  TRACE_NOT_FOUND: {
    what: 'no such trace',
    why: 'nothing is at this path',
    todo: 'check the path',
  },
  TRACE_NOT_A_TRACE: {
    what: 'not a trace',
    why: 'it is neither an SQLite trace nor an Arrow trace folder',
    todo: 'use `trapline import` for files of other tools',
  },
  TRACE_NEWER: {
    what: 'written by a newer version',
    why: 'its format version is above the one that this program knows',
    todo: 'update this program',
  },
  TRACE_OLDER: {
    what: 'format version that no upgrader knows',
    why: 'its version number is below the first one ever written',
    todo: 'check that the file is what you think it is',
  },
  TRACE_DAMAGED: {
    what: 'damaged',
    why: 'what is stored does not have the digest that was written with it',
    todo: 'what lies before this place is good; restore the rest from a copy or record again',
  },
  TRACE_CUT: {
    what: 'cut short',
    why: 'the file ends before the rows that it should hold',
    todo: 'what lies before this place is good; restore the rest from a copy or record again',
  },
  TRACE_NAME: {
    what: 'unknown kind of trace',
    why: 'the name says which store to use',
    todo: 'end it in .sqlite or .arrow',
  },
  TRACE_EXISTS: {
    what: 'already exists',
    why: 'nothing is overwritten unless asked for, and then traces only',
    todo: 'choose another name or remove it first',
  },
  TRACE_TAKEN: {
    what: 'taken by another meanwhile',
    why: 'somebody replaced or removed it while it was written, and what was written is lost',
    todo: 'let one command at a time write there, or choose another name',
  },
  TRACE_BUSY: {
    what: 'is being written',
    why: 'the command that writes it has not come to its end',
    todo: 'wait for it or end it, or write to another name; traces in Arrow can be read meanwhile',
  },
  TRACE_DISK_FULL: {
    what: 'no space left',
    why: 'the disk or the quota is full',
    todo: 'free space and record again',
  },
  TRACE_UNWRITABLE: {
    what: 'cannot be written',
    why: 'the folder is missing or permissions do not allow it',
    todo: 'check the folder and its permissions',
  },
  TRACE_UNREADABLE: {
    what: 'cannot be read',
    why: 'permissions or the device do not allow it',
    todo: 'check the permissions and the disk',
  },
  TRACE_UNSETTLED: {
    what: 'cannot be read where it lies',
    why: 'SQLite must write to it first, as what wrote it last was killed or left it with a write-ahead log, and may not',
    todo: 'copy it, and the files of its name with -journal or -wal at the end, to where you may write, and open the copy',
  },
  TRACE_CLOSED: {
    what: 'already closed',
    why: 'it was finished, abandoned or failed before',
    todo: 'open or create it again',
  },
  TRACE_COLUMN: {
    what: 'no such column',
    why: 'the schema of this format version does not have it',
    todo: 'see traces/schema.ts for the columns of each table',
  },
  TRACE_VALUE: {
    what: 'value does not fit its column',
    why: 'it is missing, out of range or of another type',
    todo: 'see traces/schema.ts for the type of each column',
  },
} as const;

export type TraceErrorCode = keyof typeof TRACE_ERRORS;

/** A failure of the traces room. `place` says where in the trace, `detail` replaces the general reason. */
export class TraceError extends Error {
  readonly code: TraceErrorCode;
  readonly path: string;
  readonly place: string | null;
  readonly detail: string | null;

  constructor(code: TraceErrorCode, path: string, place: string | null = null, detail: string | null = null) {
    const { what, why, todo } = TRACE_ERRORS[code];
    super(`${path}${place === null ? '' : `, ${place}`}: ${what}: ${detail ?? why}; ${todo}`);
    this.name = 'TraceError';
    this.code = code;
    this.path = path;
    this.place = place;
    this.detail = detail;
  }
}

/** Codes of the operating system and of SQLite, and what they mean for a trace that is written or read. */
const FOREIGN: { readonly [code: string]: readonly [writing: TraceErrorCode, reading: TraceErrorCode] } = {
  ENOSPC: ['TRACE_DISK_FULL', 'TRACE_UNREADABLE'],
  EDQUOT: ['TRACE_DISK_FULL', 'TRACE_UNREADABLE'],
  EFBIG: ['TRACE_DISK_FULL', 'TRACE_UNREADABLE'],
  SQLITE_FULL: ['TRACE_DISK_FULL', 'TRACE_UNREADABLE'],
  EEXIST: ['TRACE_EXISTS', 'TRACE_UNREADABLE'],
  ENOTEMPTY: ['TRACE_EXISTS', 'TRACE_UNREADABLE'],
  ENOENT: ['TRACE_UNWRITABLE', 'TRACE_CUT'],
  SQLITE_CORRUPT: ['TRACE_DAMAGED', 'TRACE_DAMAGED'],
  SQLITE_NOTADB: ['TRACE_DAMAGED', 'TRACE_DAMAGED'],
  SQLITE_ERROR: ['TRACE_DAMAGED', 'TRACE_DAMAGED'],
};

const codeOf = (error: unknown): string | null =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;

/** The same failure as a TraceError; anything that is no failure of a file is passed on as it is. */
export function traceError(error: unknown, path: string, access: 'read' | 'write', place: string | null = null): Error {
  if (error instanceof TraceError) return error;
  const code = codeOf(error);
  if (code === null || !(error instanceof Error)) return error instanceof Error ? error : new Error(String(error));
  const family = code.startsWith('SQLITE_') ? code.split('_').slice(0, 2).join('_') : code;
  const pair = FOREIGN[family] ?? (['TRACE_UNWRITABLE', 'TRACE_UNREADABLE'] as const);
  return new TraceError(access === 'write' ? pair[0] : pair[1], path, place, firstLine(error.message));
}

/** The same failure, which says more of itself where the disk is full, and names the place where things are by now. */
export function diskFullSays(error: Error, says: string, path?: string): Error {
  if (!(error instanceof TraceError)) return error;
  const { code, place, detail } = error;
  const why = code === 'TRACE_DISK_FULL' ? `${detail ?? TRACE_ERRORS[code].why}; ${says}` : detail;
  return new TraceError(code, path ?? error.path, place, why);
}

const firstLine = (text: string): string => text.split('\n', 1)[0] ?? text;
