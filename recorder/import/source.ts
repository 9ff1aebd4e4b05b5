/** Bytes from a file or a pipe, in order, without asking how many there are. */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';

export interface ByteSource {
  /** As the user wrote it; `standard input` for a pipe. */
  readonly name: string;
  /** Bytes in total, or 0 where nobody knows. */
  readonly size: number;
  /** Fills `target` from `at` on; 0 at the end. */
  read(target: Uint8Array, at: number): number;
  close(): void;
}

const PIPE_WAIT_MS = 5;

/** A pipe that its writer made non-blocking says EAGAIN instead of waiting. */
function readPatiently(fd: number, target: Uint8Array, at: number): number {
  for (;;) {
    try {
      return readSync(fd, target, at, target.length - at, null);
    } catch (error) {
      const code = error instanceof Error && 'code' in error ? error.code : null;
      if (code === 'EOF') return 0;
      if (code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PIPE_WAIT_MS);
    }
  }
}

/** Opens a file, or standard input for `-`. Throws the system's errors. */
export function openSource(path: string): ByteSource {
  const fd = path === '-' ? 0 : openSync(path, 'r');
  const stat = fstatSync(fd);
  if (stat.isDirectory()) {
    closeSync(fd);
    throw Object.assign(new Error(`EISDIR: ${path}`), { code: 'EISDIR', path });
  }
  return {
    name: path === '-' ? 'standard input' : path,
    size: stat.isFile() ? stat.size : 0,
    read: (target, at) => readPatiently(fd, target, at),
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
    close() {},
  };
}
