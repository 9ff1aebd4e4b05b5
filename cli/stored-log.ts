/** A log that stays in its file: large ones are read part by part, each of them once or twice. */
import { closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import type { Bytes } from '../analyzer/explain/lines.js';
import { CliError } from './errors.js';

export interface StoredLog extends Bytes {
  close(): void;
}

/**
 * The bytes that a file has now; null for a pipe, a device or a file of /proc, whose length is not known.
 * @throws CliError NOT_A_FILE, or the error of the operating system
 */
export function openLog(path: string): StoredLog | null {
  const stat = statSync(path);
  if (stat.isDirectory()) throw new CliError('NOT_A_FILE', path);
  // A pipe is opened once: what its writer wrote is gone when its reader closes it.
  if (!stat.isFile() || stat.size === 0) return null;
  const file = openSync(path, 'r');
  const { size } = fstatSync(file);
  let part = new Uint8Array(0);
  return {
    length: size,
    subarray(from, to) {
      if (part.length < to - from) part = new Uint8Array(to - from);
      let got = 0;
      for (let n = -1; n !== 0 && got < to - from; got += n) n = readSync(file, part, got, to - from - got, from + got);
      return part.subarray(0, got);
    },
    close: () => closeSync(file),
  };
}
