/** The guest's COM1 on a terminal or a Unix socket. */
import { createServer, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { ConsoleSource } from '../recorder/run/session.js';
import { CliError, describeError } from './errors.js';

/** A console that can be closed; `write` shows the guest's output. */
export interface Console extends ConsoleSource {
  write(bytes: Uint8Array): void;
  /** True once the person asked for the end (Ctrl-] on a terminal). */
  readonly interrupted: boolean;
  /** Whoever waits goes on. */
  wake(): void;
  close(): void;
}

/** Ctrl-], as telnet has it: ends the session without reaching the guest. */
const ESCAPE = 0x1d;
const NEWLINE = 0x0a;
/** Bytes that wait for the guest before whoever sends them has to. */
const HIGH_WATER = 0x1_0000;
/** Bytes that the guest is given at once. */
const PIECE = 0x1000;
/** Bytes of a Unix socket's path: sockaddr_un of Linux, without its NUL. */
const LONGEST_PATH = 107;

/** Bytes on their way to the guest; its sources are held while too many wait. */
class ByteQueue implements ConsoleSource {
  #chunks: Uint8Array[] = [];
  #length = 0;
  #waiting: (() => void) | null = null;
  /** The streams that bytes come from. */
  readonly sources = new Set<Readable>();
  ended = false;

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#length += bytes.length;
    if (this.#length > HIGH_WATER) for (const source of this.sources) source.pause();
    this.wake();
  }

  end(): void {
    this.ended = true;
    this.wake();
  }

  wake(): void {
    this.#waiting?.();
    this.#waiting = null;
  }

  take(): Uint8Array | null {
    if (this.#length === 0) return null;
    const all = this.#chunks.length === 1 ? (this.#chunks[0] ?? new Uint8Array()) : Buffer.concat(this.#chunks);
    const piece = Uint8Array.from(all.subarray(0, PIECE));
    this.#chunks = all.length > PIECE ? [all.subarray(PIECE)] : [];
    this.#length = all.length - piece.length;
    if (this.#length <= HIGH_WATER) for (const source of this.sources) source.resume();
    return piece;
  }

  wait(): Promise<void> {
    if (this.#length > 0 || this.ended) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }
}

/** What both consoles have in common. */
const source = (queue: ByteQueue) => ({
  take: () => queue.take(),
  wait: () => queue.wait(),
  wake: () => queue.wake(),
});

/** Terminal or pipe: what is typed goes to the guest, what it prints to `output`. */
export function terminalConsole(
  input: Readable & { isTTY?: boolean; setRawMode?: (raw: boolean) => unknown },
  output: { readonly isTTY?: boolean; write(bytes: Uint8Array): unknown },
): Console {
  const queue = new ByteQueue();
  let interrupted = false;
  let lineOpen = false;
  if (input.isTTY) input.setRawMode?.(true);
  const onData = (bytes: Uint8Array): void => {
    const at = input.isTTY ? bytes.indexOf(ESCAPE) : -1;
    interrupted ||= at >= 0;
    queue.push(at >= 0 ? bytes.subarray(0, at) : bytes);
    if (interrupted) queue.end();
  };
  const onEnd = (): void => queue.end();
  queue.sources.add(input);
  input.on('data', onData);
  input.on('end', onEnd);
  input.on('error', onEnd);
  return {
    ...source(queue),
    get ended() {
      return queue.ended;
    },
    get interrupted() {
      return interrupted;
    },
    write: (bytes) => {
      if (bytes.length > 0) lineOpen = bytes.at(-1) !== NEWLINE;
      output.write(bytes);
    },
    close: () => {
      // What is told next begins on a line of its own.
      if (lineOpen && output.isTTY) output.write(Uint8Array.of(NEWLINE));
      input.off('data', onData);
      if (input.isTTY) input.setRawMode?.(false);
      input.pause();
    },
  };
}

/**
 * Listens on a Unix socket; one client at a time is the guest's COM1. Resolves once it listens.
 * @throws CliError NO_SOCKET
 */
export function socketConsole(path: string): Promise<Console> {
  const queue = new ByteQueue();
  let client: Socket | null = null;
  const server = createServer((socket) => {
    const gone = (): void => {
      queue.sources.delete(socket);
      if (client === socket) client = null;
    };
    socket.on('error', gone);
    socket.on('close', gone);
    if (client) {
      socket.end('the console is in use\n');
      return;
    }
    client = socket;
    queue.sources.add(socket);
    socket.on('data', (bytes) => queue.push(bytes));
  });
  const console: Console = {
    ...source(queue),
    ended: false,
    interrupted: false,
    write: (bytes) => {
      client?.write(bytes);
    },
    close: () => {
      client?.end();
      server.close();
    },
  };
  return new Promise((resolve, reject) => {
    if (Buffer.byteLength(path) > LONGEST_PATH) {
      reject(new CliError('NO_SOCKET', path.slice(0, LONGEST_PATH), `a path has ${LONGEST_PATH} bytes at the most`));
      return;
    }
    server.once('error', (error) =>
      reject(new CliError('NO_SOCKET', path, describeError(error)?.what ?? error.message)),
    );
    server.listen(path, () => resolve(console));
  });
}
