/**
 * The files of an Arrow trace, opened for reading. They are plain files of the folder: a link could lead anywhere, and a
 * pipe or a device never ends.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { TraceError } from '../errors.js';
import { Malformed } from './malformed.js';

export interface TraceFile {
  readonly descriptor: number;
  readonly size: number;
}

/** Bytes that are read at once, and that a manifest may have: its lines are 1 kB, one a chunk. */
const MOST = { read: 0x7fff_ffff, manifest: 256 << 20 } as const;
// Systems without links or pipes lack the flags.
const FLAGS = constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** @throws TraceError where it is no plain file; errors of the file system */
export function openFile(path: string): TraceFile {
  const descriptor = openPlain(path);
  const stat = fstatSync(descriptor);
  if (stat.isFile()) return { descriptor, size: stat.size };
  closeSync(descriptor);
  throw notPlain(path);
}

const notPlain = (path: string): TraceError =>
  new TraceError('TRACE_DAMAGED', path, null, 'it is no plain file, and nothing else belongs into a trace');

function openPlain(path: string): number {
  try {
    return openSync(path, FLAGS);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    throw code === 'ELOOP' || code === 'ENXIO' ? notPlain(path) : error;
  }
}

/** @throws RangeError where the file does not have them */
export function readBytes({ descriptor, size }: TraceFile, offset: number, length: number): Uint8Array {
  if (offset + length > size || length > MOST.read) throw new Malformed(`${length} bytes are not there`);
  const bytes = new Uint8Array(length);
  if (readSync(descriptor, bytes, 0, length, offset) !== length) throw new Malformed('the file ends early');
  return bytes;
}

/** The text of a manifest. */
export function readAll(path: string): string {
  const file = openFile(path);
  try {
    if (file.size > MOST.manifest) throw new TraceError('TRACE_DAMAGED', path, null, 'it is too large for a manifest');
    return Buffer.from(readBytes(file, 0, file.size)).toString('utf8');
  } finally {
    closeSync(file.descriptor);
  }
}
