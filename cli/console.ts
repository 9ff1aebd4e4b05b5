/** The guest's COM1 on a terminal or a Unix socket. */
import { rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { ConsoleSource } from '../recorder/run/session.js';

/** A console that can be closed; `write` shows the guest's output. */
export interface Console extends ConsoleSource {
  write(bytes: Uint8Array): void;
  /** True once the person asked for the end (Ctrl-] on a terminal). */
  readonly interrupted: boolean;
  close(): void;
}

/** Ctrl-], as telnet has it: ends the session without reaching the guest. */
const ESCAPE = 0x1d;

class ByteQueue implements ConsoleSource {
  #chunks: Uint8Array[] = [];
  #waiting: (() => void) | null = null;
  ended = false;

  push(bytes: Uint8Array): void {
    this.#chunks.push(bytes);
    this.#wake();
  }

  end(): void {
    this.ended = true;
    this.#wake();
  }

  #wake(): void {
    this.#waiting?.();
    this.#waiting = null;
  }

  take(): Uint8Array | null {
    if (this.#chunks.length === 0) return null;
    const bytes = Buffer.concat(this.#chunks);
    this.#chunks = [];
    return bytes;
  }

  wait(): Promise<void> {
    if (this.#chunks.length > 0 || this.ended) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }
}

/** Terminal or pipe: what is typed goes to the guest, what it prints to `output`. */
export function terminalConsole(
  input: Readable & { isTTY?: boolean; setRawMode?: (raw: boolean) => unknown },
  output: { write(bytes: Uint8Array): unknown },
): Console {
  const queue = new ByteQueue();
  let interrupted = false;
  if (input.isTTY) input.setRawMode?.(true);
  const onData = (bytes: Uint8Array): void => {
    const at = input.isTTY ? bytes.indexOf(ESCAPE) : -1;
    if (at >= 0) interrupted = true;
    const typed = at >= 0 ? bytes.subarray(0, at) : bytes;
    if (typed.length > 0) queue.push(Uint8Array.from(typed));
    if (interrupted) queue.end();
  };
  input.on('data', onData);
  input.on('end', () => queue.end());
  return {
    take: () => queue.take(),
    wait: () => queue.wait(),
    get ended() {
      return queue.ended;
    },
    get interrupted() {
      return interrupted;
    },
    write: (bytes) => {
      output.write(bytes);
    },
    close: () => {
      input.off('data', onData);
      if (input.isTTY) input.setRawMode?.(false);
      input.pause();
    },
  };
}

/** Listens on a Unix socket; one client at a time is the guest's COM1. Resolves once it listens. */
export function socketConsole(path: string): Promise<Console> {
  const queue = new ByteQueue();
  let client: Socket | null = null;
  const server = createServer((socket) => {
    if (client) {
      socket.end('the console is in use\n');
      return;
    }
    client = socket;
    socket.on('data', (bytes) => queue.push(Uint8Array.from(bytes)));
    const gone = (): void => {
      if (client === socket) client = null;
    };
    socket.on('close', gone);
    socket.on('error', gone);
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => {
      resolve({
        take: () => queue.take(),
        wait: () => queue.wait(),
        ended: false,
        interrupted: false,
        write: (bytes) => {
          client?.write(bytes);
        },
        close: () => {
          client?.end();
          server.close();
          rmSync(path, { force: true });
        },
      });
    });
  });
}
