/** Files that a call names, read whole but not without bound. */
import { closeSync, constants, fstatSync, openSync, realpathSync, statSync } from 'node:fs';
import { readNow, readPatiently } from '../recorder/import/source.js';
import { CliError, ofFile } from './errors.js';

const PIECE = 1 << 20;

/** A device or a file of tracefs has what is there now, and no end: it is read so that it does not wait for more. */
function openBounded(path: string): number {
  const stat = path === '-' ? fstatSync(0) : statSync(path);
  const isEndless = stat.isCharacterDevice() || (stat.isFile() && stat.size === 0);
  if (!isEndless) return path === '-' ? 0 : openSync(path, 'r');
  try {
    return openSync(path === '-' ? '/proc/self/fd/0' : path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if (path !== '-') throw error;
    return 0; // somebody else's, or one that takes one reader at a time
  }
}

/** Fills `piece`; 0 at the end of what is there. */
function readPiece(file: number, piece: Uint8Array): number {
  const stat = fstatSync(file);
  // only whoever writes a pipe or a socket may still have more
  return stat.isFIFO() || stat.isSocket() ? readPatiently(file, piece, 0) : (readNow(file, piece, 0) ?? 0);
}

const tooLarge = (path: string, says: string): Error => new CliError('TOO_LARGE', path, says);

/**
 * The bytes of a file, a pipe or a device, or of standard input for `-`, `most` at the most. Of what has no end, as
 * /dev/kmsg, those that are there.
 * @throws CliError NOT_A_FILE; TOO_LARGE or what `refuse` makes of it; or the error of the operating system
 */
export function readBounded(path: string, most: number, refuse = tooLarge): Buffer {
  const file = openBounded(path);
  try {
    if (fstatSync(file).isDirectory()) throw new CliError('NOT_A_FILE', path);
    const pieces: Uint8Array[] = [];
    let length = 0;
    const piece = new Uint8Array(PIECE);
    for (;;) {
      const got = readPiece(file, piece);
      if (got === 0) return Buffer.concat(pieces);
      length += got;
      if (length > most) throw refuse(path, `more than ${most / PIECE} MiB`);
      pieces.push(piece.slice(0, got));
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
