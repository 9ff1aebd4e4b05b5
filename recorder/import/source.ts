/** Bytes from a file or a pipe, in order, without asking how many there are. */
import { closeSync, existsSync, fstatSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ImportError } from './errors.js';

/** Each of its files has the records of some CPUs, and none of them all that is needed. */
const PERF_FOLDER = 'run `perf script -i FOLDER | trapline import -`, or record without --threads';

export interface ByteSource {
  /** As the user wrote it; `standard input` for a pipe. */
  readonly name: string;
  /** Bytes in total, or 0 where nobody knows. */
  readonly size: number;
  /** Fills `target` from `at` on; 0 at the end. */
  read(target: Uint8Array, at: number): number;
  /** Fills `target` from the byte at `offset` of the input, as far as there is any; null for a pipe. */
  readonly readAt: ((target: Uint8Array, offset: number) => number) | null;
  /** Why reading was ended before the end of the input; null where it was not. */
  readonly cut?: () => ImportError | null;
  /** True once somebody ended the reading, whether that is an error or not. */
  readonly isStopped?: () => boolean;
  close(): void;
}

/** Reading was ended before the end of the input: that it ends amid its data is no damage of it. */
export const isEnded = (source: Pick<ByteSource, 'cut' | 'isStopped'>): boolean =>
  source.isStopped?.() === true || (source.cut?.() ?? null) !== null;

/** As much as there is; a read of a regular file may still come short. */
function readFrom(fd: number, target: Uint8Array, offset: number): number {
  let done = 0;
  while (done < target.length) {
    const count = readSync(fd, target, done, target.length - done, offset + done);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/**
 * Bytes that the system is asked for at the least: a read of /dev/kmsg gives a whole record of up to 8 KiB
 * (CONSOLE_EXT_LOG_MAX of Linux 3.5 to 6.2), or fails with EINVAL.
 */
const LEAST_READ = 8 << 10;

/** The same bytes from a read that is never asked for few. */
export function roomy(read: ByteSource['read']): ByteSource['read'] {
  const stage = new Uint8Array(LEAST_READ);
  let [from, to] = [0, 0];
  return (target, at) => {
    const room = target.length - at;
    if (from === to && room >= LEAST_READ) return read(target, at);
    if (from === to) [from, to] = [0, read(stage, 0)];
    const part = stage.subarray(from, Math.min(to, from + room));
    target.set(part, at);
    from += part.length;
    return part.length;
  };
}

const PIPE_WAIT_MS = 5;

/**
 * What a read gives: a number of bytes, 0 at the end, or null where there are none yet, as in a pipe that its writer made
 * non-blocking (EAGAIN). Throws the system's other errors.
 */
export function readNow(fd: number, target: Uint8Array, at: number): number | null {
  for (;;) {
    try {
      return readSync(fd, target, at, target.length - at, null);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : null;
      if (code === 'EOF') return 0;
      if (code === 'EAGAIN') return null;
      // /dev/kmsg: records were overwritten before they were read; the next read gives those that are left
      if (code !== 'EPIPE') throw error;
    }
  }
}

/** The same, but waits for bytes. */
export function readPatiently(fd: number, target: Uint8Array, at: number): number {
  for (;;) {
    const count = readNow(fd, target, at);
    if (count !== null) return count;
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PIPE_WAIT_MS);
  }
}

/** Opens a file, or standard input for `-`. Throws the system's errors. */
export function openSource(path: string): ByteSource {
  const fd = path === '-' ? 0 : openSync(path, 'r');
  const stat = fstatSync(fd);
  if (stat.isDirectory()) {
    closeSync(fd);
    if (existsSync(join(path, 'data')) && existsSync(join(path, 'data.0')))
      throw new ImportError('UNSUPPORTED', path, 'a folder of `perf record --threads`', PERF_FOLDER);
    throw Object.assign(new Error(`EISDIR: ${path}`), { code: 'EISDIR', path });
  }
  return {
    name: path === '-' ? 'standard input' : path,
    size: stat.isFile() ? stat.size : 0,
    read: roomy((target, at) => readPatiently(fd, target, at)),
    readAt: stat.isFile() && fd !== 0 ? (target, offset) => readFrom(fd, target, offset) : null,
    close() {
      if (fd !== 0) closeSync(fd);
    },
  };
}

/** A source over bytes in memory. */
export function memorySource(bytes: Uint8Array, name = 'memory'): ByteSource {
  let position = 0;
  return {
    name,
    size: bytes.length,
    read(target, at) {
      const part = bytes.subarray(position, position + target.length - at);
      target.set(part, at);
      position += part.length;
      return part.length;
    },
    readAt(target, offset) {
      const part = bytes.subarray(offset, offset + target.length);
      target.set(part);
      return part.length;
    },
    close() {},
  };
}

/** First bytes of a source, and the source as if they had not been read. */
export function peek(source: ByteSource, count: number): { readonly head: Uint8Array; readonly whole: ByteSource } {
  const buffer = new Uint8Array(count);
  let filled = 0;
  while (filled < count) {
    const more = source.read(buffer.subarray(0, count), filled);
    if (more === 0) break;
    filled += more;
  }
  const head = buffer.subarray(0, filled);
  let given = 0;
  const whole: ByteSource = {
    name: source.name,
    size: source.size,
    read(target, at) {
      if (given === filled) return source.read(target, at);
      const part = head.subarray(given, given + target.length - at);
      target.set(part, at);
      given += part.length;
      return part.length;
    },
    readAt: source.readAt,
    cut: () => source.cut?.() ?? null,
    isStopped: () => isEnded(source),
    close: () => source.close(),
  };
  return { head, whole };
}

/** The same bytes in a file that vanishes when it is closed: a pipe cannot be read out of order. */
export function spool(source: ByteSource): ByteSource {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-'));
  const path = join(folder, 'pipe');
  const fd = openSync(path, 'wx+', 0o600);
  rmSync(folder, { recursive: true });
  const chunk = new Uint8Array(1 << 20);
  let size = 0;
  try {
    for (let count = source.read(chunk, 0); count > 0; count = source.read(chunk, 0)) {
      for (let done = 0; done < count; ) done += writeSync(fd, chunk, done, count - done);
      size += count;
    }
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return {
    name: source.name,
    size,
    read: (target, at) => readSync(fd, target, at, target.length - at, null),
    readAt: (target, offset) => readFrom(fd, target, offset),
    cut: () => source.cut?.() ?? null,
    isStopped: () => isEnded(source),
    close: () => closeSync(fd),
  };
}
