/** Errors of the call itself, and the one way in which every error of every room is printed. */
import { CodedError, type ErrorSpec, printable } from '../engine/errors.js';

/** Table of this room's errors: what happened and what to do; where and why come with the error. */
export const CLI_ERRORS = {
  UNKNOWN_COMMAND: { what: 'no such command', advice: 'see trapline --help' },
  UNKNOWN_GUEST: { what: 'no such guest', advice: 'see trapline guests' },
  UNKNOWN_OPTION: { what: 'no such option', advice: 'see --help of the command' },
  MISSING_VALUE: { what: 'option needs a value', advice: 'write it after the option' },
  UNEXPECTED_VALUE: { what: 'option takes no value', advice: 'leave the value out' },
  REPEATED_OPTION: { what: 'option given twice', advice: 'give it once' },
  MISSING_ARGUMENT: { what: 'argument missing', advice: 'see --help of the command' },
  MISSING_OPTION: { what: 'option missing', advice: 'see --help of the command' },
  UNEXPECTED_ARGUMENT: { what: 'one argument too many', advice: 'see --help of the command' },
  STEP_FAILED: { what: 'a step of the demo failed', advice: 'run it alone to see more' },
  EXISTS: {
    what: 'folder is there and not empty',
    advice: 'name another, or use --replace for one that trapline export wrote',
  },
  NOT_A_FILE: { what: 'is a folder, not a file', advice: 'name a file' },
  TOO_LARGE: { what: 'file is too large', advice: 'check that it is what you think it is' },
  SAME_TRACE: { what: 'a trace cannot be written over the one that it is made from', advice: 'choose another name' },
  NO_SOCKET: { what: 'socket cannot be made', advice: 'remove what is there, or choose another path' },
  TIMED_OUT: {
    what: 'took too long and was ended',
    advice: 'allow it more, or bound what it computes: a recursive query needs a condition that ends it',
  },
  BAD_VALUE: { what: 'bad value', advice: 'see --help of the command' },
} as const satisfies { readonly [code: string]: ErrorSpec };
export type CliErrorCode = keyof typeof CLI_ERRORS;

export class CliError extends CodedError<CliErrorCode> {
  constructor(code: CliErrorCode, where: string, why: string | null = null, advice: string | null = null) {
    super(CLI_ERRORS[code], code, where, why, advice);
  }
}

/** Failures of the operating system, in words; errno(3). */
export const SYSTEM_ERRORS: { readonly [code: string]: ErrorSpec } = {
  ENOENT: { what: 'no such file', advice: 'check the path' },
  EACCES: { what: 'not allowed', advice: 'check the permissions' },
  EPERM: { what: 'not permitted', advice: 'check the permissions' },
  EISDIR: { what: 'is a folder, not a file', advice: 'name a file' },
  ENOTDIR: { what: 'is not a folder', advice: 'check the path' },
  EEXIST: { what: 'exists already', advice: 'name another, or remove it' },
  ENOSPC: { what: 'no space left on the disk', advice: 'free some, or write elsewhere' },
  EDQUOT: { what: 'disk quota exceeded', advice: 'free some, or write elsewhere' },
  EROFS: { what: 'file system is read-only', advice: 'write elsewhere' },
  ELOOP: { what: 'links that lead to themselves', advice: 'check the path' },
  ENAMETOOLONG: { what: 'name is too long', advice: 'check the path' },
  EMFILE: { what: 'too many open files', advice: 'raise ulimit -n' },
  EIO: { what: 'the disk failed', advice: 'see the kernel log' },
  EADDRINUSE: { what: 'address in use', advice: 'choose another port' },
  ENOMEM: { what: 'no memory left', advice: 'free some, or use a machine that has more' },
  ERR_WORKER_OUT_OF_MEMORY: {
    what: 'the memory that Node allows a thread is full',
    advice: 'allow more with NODE_OPTIONS=--max-old-space-size=MIB',
  },
};

export interface Described {
  readonly code: string;
  readonly what: string;
  readonly where: string | null;
  readonly why: string | null;
  readonly advice: string | null;
}

/** An error that another thread described. */
export class DescribedError extends Error {
  readonly described: Described;

  constructor(described: Described) {
    super(described.what);
    this.described = described;
  }
}

const textOf = (error: object, key: string): string | null => {
  const value: unknown = Reflect.get(error, key);
  return typeof value === 'string' && value !== '' ? value : typeof value === 'number' ? String(value) : null;
};

/** The same failure, with the file where the system does not name it: read(2) gets a descriptor, no path. */
export function ofFile(error: unknown, path: string): unknown {
  const unnamed = error instanceof Error && 'syscall' in error && !('path' in error);
  return unnamed ? Object.assign(error, { path }) : error;
}

/**
 * What an error says of itself, or null where it is none that a room foresaw: a defect.
 * Rooms throw errors with `code` and any of `what`, `where`, `why`, `advice`; a message alone will do.
 */
export function describeError(error: unknown): Described | null {
  if (!(error instanceof Error)) return null;
  if (error instanceof DescribedError) return error.described;
  const code = textOf(error, 'code');
  if (code === null) return null;
  const system = SYSTEM_ERRORS[code];
  if (system !== undefined) {
    const address = textOf(error, 'address');
    const port = textOf(error, 'port');
    const where = textOf(error, 'path') ?? (address !== null && port !== null ? `${address}:${port}` : null);
    return { code, what: system.what, where, why: textOf(error, 'why'), advice: system.advice };
  }
  if (code.startsWith('ERR_')) return null; // Node's own: a wrong use of its API, hence a defect
  const what = textOf(error, 'what');
  // Node says "EINVAL: invalid argument, read": the code is told anyway
  const said = error.message.startsWith(`${code}: `) ? error.message.slice(code.length + 2) : error.message;
  const where = textOf(error, 'where') ?? textOf(error, 'path');
  return {
    code,
    what: what ?? said,
    where: what === null && where !== null && error.message.includes(where) ? null : where,
    why: textOf(error, 'why'),
    advice: textOf(error, 'advice'),
  };
}

/** One line `CODE what: where: why; what to do`, free of control characters and bounded. */
export function formatError(error: Described): string {
  const said = [error.what, error.where, error.why].filter((part) => part !== null).join(': ');
  const line = printable(`${error.code} ${said}${error.advice === null ? '' : `; ${error.advice}`}`);
  return line.length > 1000 ? `${line.slice(0, 1000)}…` : line;
}
