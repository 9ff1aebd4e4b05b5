/** Bytes of a recording that is still going on, from whatever delivers them: waiting for more never stops the rest. */
import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import type { ByteSource } from '../import/source.js';

/** Waits between two looks at an empty pipe, in ms: short at first, so that a fast writer is not held up by a full one. */
const WAITS = [0.05, 0.1, 0.2, 0.5, 1, 2, 4, 8, 16] as const;

export interface LiveSource extends ByteSource {
  /** Bytes read so far. */
  readonly bytes: number;
}

export interface LiveHooks {
  /** Called with true before a call of the system that may take any time, and with false after it. */
  readonly waits: (waits: boolean) => void;
  /**
   * Called before each read and while there is nothing to read, every few milliseconds where the input can be asked.
   * `mayWait` says that nobody knows that it can: the read that follows may take any time.
   */
  readonly tick: (mayWait: boolean) => void;
  /** True once the input is to end here. */
  readonly stopped: () => boolean;
}

/** The same input, opened a second time so that it never blocks; null where it cannot be (a socket, another's pipe). */
function reopened(fd: number): number | null {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return null;
  }
}

/**
 * Opens an input for reading without blocking where that is possible. A FIFO waits for its writer first: opened without
 * waiting it would be at its end until there is one, and again after one that came and went between two looks.
 */
function openQuietly(path: string): number | null {
  if (path === '-') return fstatSync(0).isFIFO() ? reopened(0) : null;
  const stat = statSync(path);
  if (stat.isDirectory()) throw Object.assign(new Error(`EISDIR: ${path}`), { code: 'EISDIR', path });
  if (!stat.isFIFO()) return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const fd = openSync(path, 'r');
  const quiet = reopened(fd);
  if (quiet === null) return fd;
  closeSync(fd);
  return quiet;
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** What a read gave: bytes, 0 at the end, or null where there are none yet. */
function attempt(fd: number, target: Uint8Array, at: number): number | null {
  try {
    return readSync(fd, target, at, target.length - at, null);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : null;
    if (code === 'EOF') return 0;
    if (code === 'EAGAIN') return null;
    throw error;
  }
}

/**
 * Opens a file, a FIFO, `trace_pipe`, or standard input for `-`. Where the system does not let an input be asked
 * without waiting, `tick` comes with the bytes only. Throws the system's errors.
 */
export function openLive(path: string, { waits, tick, stopped }: LiveHooks): LiveSource {
  waits(true);
  const quiet = openQuietly(path);
  waits(false);
  const fd = quiet ?? 0;
  const { isRegular, size } = describe(fd);
  let bytes = 0;
  // standard input may have been made so that it does not block: its first answer tells
  let mayWait = quiet === null;
  const read = (target: Uint8Array, at: number): number => {
    for (let idle = 0; ; idle++) {
      tick(mayWait);
      if (stopped()) return 0;
      waits(mayWait);
      const count = attempt(fd, target, at);
      waits(false);
      if (count !== null) {
        bytes += count;
        return count;
      }
      mayWait = false;
      Atomics.wait(sleeper, 0, 0, WAITS[Math.min(idle, WAITS.length - 1)]);
    }
  };
  const readAt = (target: Uint8Array, offset: number): number => {
    tick(false);
    if (stopped()) return 0;
    let done = 0;
    while (done < target.length) {
      const count = readSync(fd, target, done, target.length - done, offset + done);
      if (count === 0) break;
      done += count;
    }
    bytes = Math.max(bytes, offset + done);
    return done;
  };
  return {
    name: path === '-' ? 'standard input' : path,
    size,
    get bytes() {
      return bytes;
    },
    read,
    readAt: isRegular && path !== '-' ? readAt : null,
    close() {
      if (quiet !== null) closeSync(quiet);
    },
  };
}

/** A file in tracefs counts as empty although it is not: only one with a size can be read out of order. */
function describe(fd: number): { readonly isRegular: boolean; readonly size: number } {
  const stat = fstatSync(fd);
  const isRegular = stat.isFile() && stat.size > 0;
  return { isRegular, size: isRegular ? stat.size : 0 };
}
