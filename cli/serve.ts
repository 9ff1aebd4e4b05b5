/** `trapline serve`: the page, for the given traces, until it is told to stop. */
import { basename } from 'node:path';
import { Details } from '../analyzer/detail.js';
import { readSide } from '../analyzer/diff.js';
import type { Symbols } from '../analyzer/symbols/symbols.js';
import { readTimeline } from '../analyzer/timeline.js';
import { openTrace } from '../traces/open.js';
import type { TraceReader } from '../traces/store.js';
import { type RunningServer, startServer } from '../web/server/server.js';
import type { GivenTrace } from '../web/server/traces.js';
import { type Command, EXIT, JSON_OPTION } from './command.js';
import { openSymbols, SYMBOLS_DETAILS, SYMBOLS_OPTION } from './symbols.js';

export interface ServeOptions {
  /** Open traces; they are closed by whoever opened them, after the server. */
  readonly traces: readonly TraceReader[];
  /** 0: any port that is free. */
  readonly port: number;
  readonly report: (line: string) => void;
  /** Names of guest addresses. */
  readonly symbols?: Symbols | null;
}

/** Starts the server; rejects where the port cannot be had. */
export function serve({ traces, port, report, symbols = null }: ServeOptions): Promise<RunningServer> {
  return startServer({ traces: traces.map((reader) => given(reader, symbols)), port, report });
}

function given(reader: TraceReader, symbols: Symbols | null): GivenTrace {
  const name = basename(reader.path);
  return {
    name,
    async open(progress) {
      const timeline = await readTimeline(reader, name, progress, symbols);
      return {
        timeline,
        details: new Details(reader, timeline, symbols),
        side: async (ignore) => readSide(reader, { ignore }),
      };
    },
  };
}

const DEFAULT_PORT = 8037;

export const command: Command = {
  arguments: [{ name: 'TRACE', says: 'traces to show', repeats: true }],
  options: [
    { name: 'port', value: 'PORT', says: `port on 127.0.0.1; 0 takes any that is free (${DEFAULT_PORT})` },
    SYMBOLS_OPTION,
    JSON_OPTION,
  ],
  details: [
    'Serves the page on 127.0.0.1 alone, for these traces alone, until it is interrupted. Two traces can be compared there.',
    SYMBOLS_DETAILS,
  ],
  json: { url: 'where the page is, once it can be opened', traces: 'names of the traces on it' },
  examples: [
    { line: 'trapline serve run.sqlite kvm.arrow', says: 'two traces on one page' },
    { line: 'trapline serve kvm.arrow --symbols vmlinux', says: 'with names of guest functions' },
  ],
  async run(call) {
    const traces: TraceReader[] = [];
    try {
      for (const path of call.args) traces.push(openTrace(path));
      const port = call.integer('port', 0, 65_535) ?? DEFAULT_PORT;
      const symbols = openSymbols(call);
      const report = (line: string): void => call.out.note(line);
      await serveUntilInterrupted({ traces, port, report, symbols }, (url) => {
        if (call.flag('json')) call.out.json({ url, traces: traces.map(({ path }) => basename(path)) });
        else call.out.line(url);
      });
      return EXIT.holds;
    } finally {
      for (const trace of traces) trace.close();
    }
  },
};

/** Serves until SIGINT or SIGTERM; tells the address once it listens. */
export async function serveUntilInterrupted(options: ServeOptions, listening: (url: string) => void): Promise<void> {
  const server = await serve(options);
  listening(server.url);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', () => resolve());
    process.once('SIGTERM', () => resolve());
  });
  await server.close();
}
