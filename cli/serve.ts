/** Serves the page for the given traces until it is told to stop. */
import { basename } from 'node:path';
import { Details } from '../analyzer/detail.js';
import { readTimeline } from '../analyzer/timeline.js';
import { profileTable } from '../analyzer/timeline-profile.js';
import type { TraceReader } from '../traces/store.js';
import { type RunningServer, startServer } from '../web/server/server.js';
import type { GivenTrace } from '../web/server/traces.js';

export interface ServeOptions {
  /** Open traces; they are closed by whoever opened them, after the server. */
  readonly traces: readonly TraceReader[];
  /** 0: any port that is free. */
  readonly port: number;
  readonly report: (line: string) => void;
}

/** Starts the server; rejects where the port cannot be had. */
export function serve({ traces, port, report }: ServeOptions): Promise<RunningServer> {
  return startServer({ traces: traces.map(given), port, report });
}

function given(reader: TraceReader): GivenTrace {
  const name = basename(reader.path);
  return {
    name,
    async open(progress) {
      const timeline = await readTimeline(reader, name, progress);
      return {
        timeline,
        details: new Details(reader, timeline),
        profile: async () => profileTable(timeline.index),
      };
    },
  };
}
