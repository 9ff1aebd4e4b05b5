/** Bytes of a recording that is still going on, from whatever delivers them: waiting for more never stops the rest. */
import { closeSync, constants, existsSync, fstatSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import type { ImportError } from '../import/errors.js';
import { type ByteSource, readNow, roomy } from '../import/source.js';
import { relayInput } from './relay.js';

/** Waits between two looks at an empty pipe, in ms: short at first, so that a fast writer is not held up by a full one. */
const WAITS = [0.05, 0.1, 0.2, 0.5, 1, 2, 4, 8, 16] as const;

export interface LiveSource extends ByteSource {
  /** Bytes read so far. */
  readonly bytes: number;
  readonly cut: () => ImportError | null;
}

export interface LiveHooks {
  /** Called with true before the input is opened, which a FIFO makes take any time, and with false after it. */
  readonly waits: (waits: boolean) => void;
  /** Called before each read, and every few milliseconds while there is nothing to read. */
  readonly tick: () => void;
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

/** A descriptor of which no read waits. */
interface Opened {
  readonly fd: number;
  cut(): ImportError | null;
  close(): void;
}

const own = (fd: number): Opened => ({ fd, cut: () => null, close: () => closeSync(fd) });

/** Whether O_NONBLOCK is set (proc_pid_fdinfo(5): flags in octal); false where there is no /proc. */
function isQuiet(fd: number): boolean {
  const path = `/proc/self/fdinfo/${fd}`;
  const flags = existsSync(path) ? (/^flags:\t([0-7]+)$/m.exec(readFileSync(path, 'latin1'))?.[1] ?? '0') : '0';
  return (Number.parseInt(flags, 8) & constants.O_NONBLOCK) !== 0;
}

/** Standard input, which others may share: O_NONBLOCK would be set for them too, hence it stays as it is. */
function openInput(): Opened {
  const stat = fstatSync(0);
  const again = stat.isFIFO() ? reopened(0) : null;
  if (again !== null) return own(again);
  // a file in tracefs counts as empty although it is not, and a read of it may wait
  const asIs = stat.isDirectory() || (stat.isFile() && stat.size > 0) || isQuiet(0);
  return asIs ? { fd: 0, cut: () => null, close() {} } : relayInput();
}

/**
 * Opens an input so that no read of it waits. A FIFO waits for its writer first: opened without waiting it would be at
 * its end until there is one, and again after one that came and went between two looks.
 */
function openQuietly(path: string): Opened {
  if (path === '-') return openInput();
  const stat = statSync(path);
  if (stat.isDirectory()) throw Object.assign(new Error(`EISDIR: ${path}`), { code: 'EISDIR', path });
  if (!stat.isFIFO()) return own(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  const fd = openSync(path, 'r');
  const quiet = reopened(fd);
  if (quiet === null) return own(fd);
  closeSync(fd);
  return own(quiet);
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Opens a file, a FIFO, `trace_pipe`, a device, or standard input for `-`. Throws the system's errors. */
export function openLive(path: string, { waits, tick, stopped }: LiveHooks): LiveSource {
  waits(true);
  const { fd, cut, close } = openQuietly(path);
  waits(false);
  const { isRegular, size } = describe(fd);
  let bytes = 0;
  const read = (target: Uint8Array, at: number): number => {
    for (let idle = 0; ; idle++) {
      tick();
      if (stopped()) return 0;
      const count = readNow(fd, target, at);
      if (count !== null) {
        bytes += count;
        return count;
      }
      Atomics.wait(sleeper, 0, 0, WAITS[Math.min(idle, WAITS.length - 1)]);
    }
  };
  const readAt = (target: Uint8Array, offset: number): number => {
    tick();
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
    read: roomy(read),
    readAt: isRegular && path !== '-' ? readAt : null,
    cut,
    isStopped: stopped,
    close,
  };
}

/** A file in tracefs counts as empty although it is not: only one with a size can be read out of order. */
function describe(fd: number): { readonly isRegular: boolean; readonly size: number } {
  const stat = fstatSync(fd);
  const isRegular = stat.isFile() && stat.size > 0;
  return { isRegular, size: isRegular ? stat.size : 0 };
}
