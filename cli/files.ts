/** Files that a call names, read whole but not without bound. */
import { closeSync, fstatSync, openSync, readSync, realpathSync } from 'node:fs';
import { CliError, ofFile } from './errors.js';

const PIECE = 1 << 20;

const tooLarge = (path: string, says: string): Error => new CliError('TOO_LARGE', path, says);

/**
 * The bytes of a file, a pipe or a device, or of standard input for `-`, `most` at the most.
 * @throws CliError NOT_A_FILE; TOO_LARGE or what `refuse` makes of it; or the error of the operating system
 */
export function readBounded(path: string, most: number, refuse = tooLarge): Buffer {
  const file = path === '-' ? 0 : openSync(path, 'r');
  try {
    if (fstatSync(file).isDirectory()) throw new CliError('NOT_A_FILE', path);
    const pieces: Uint8Array[] = [];
    let length = 0;
    for (;;) {
      const piece = new Uint8Array(PIECE);
      const got = readSync(file, piece, 0, PIECE, null);
      if (got === 0) return Buffer.concat(pieces);
      length += got;
      if (length > most) throw refuse(path, `more than ${most / PIECE} MiB`);
      pieces.push(piece.subarray(0, got));
    }
  } catch (error) {
    throw ofFile(error, path);
  } finally {
    if (file !== 0) closeSync(file);
  }
}

/** Throws CliError SAME_TRACE where a trace would replace the one that it is made from. */
export function refuseSame(source: string, target: string): void {
  if (realPath(source) === realPath(target)) throw new CliError('SAME_TRACE', target);
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path; // it does not exist: then it is no trace that could be lost
  }
}
