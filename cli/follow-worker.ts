/**
 * The thread that reads a recording that is still going on. It reads, stores and counts without ever waiting for whoever
 * shows it: a terminal that takes nothing more must not hold up the recorder.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { RollingProfile } from '../analyzer/profile/rolling.js';
import { COLUMNS } from '../analyzer/profile/view.js';
import { printable } from '../engine/errors.js';
import { ImportError, type ImportErrorCode } from '../recorder/import/errors.js';
import { importTrace } from '../recorder/import/import.js';
import type { Lane } from '../recorder/import/lanes.js';
import { type CoinedReason, coinedName } from '../recorder/import/reasons.js';
import type { ImportResult } from '../recorder/import/result.js';
import { StreamWriter } from '../recorder/import/stream.js';
import { Lag } from '../recorder/live/lag.js';
import { type LiveSource, openLive } from '../recorder/live/source.js';
import { TapWriter } from '../recorder/live/tap.js';
import { createTrace } from '../traces/open.js';
import type { Chunk } from '../traces/store.js';
import { describeError } from './errors.js';
import { Control, type FollowStart, type Group, type Message, type Snapshot } from './follow-protocol.js';
import { withAdvice } from './log.js';

/** Columns that a rolling profile reads: texts and bytes need not be decoded. */
const NUMBERS = COLUMNS.filter((name) => name !== 'bytes' && name !== 'text');

/** Errors of an input that was ended before its first event. */
const OF_NOTHING: ReadonlySet<string> = new Set<ImportErrorCode>([
  'EMPTY_INPUT',
  'INTERRUPTED',
  'NO_EVENTS',
  'NOT_A_TRACE',
  'TRUNCATED',
]);

/** Rows of a snapshot, the busiest first. */
const MOST_ROWS = 500;

class Follower {
  readonly #start: FollowStart;
  readonly #control: Control;
  readonly #profile = new RollingProfile();
  readonly #lag = new Lag();
  readonly #began = performance.now();
  #source: LiveSource | null = null;
  #tap: TapWriter | null = null;
  #lanes: readonly Lane[] = [];
  #coined: () => readonly CoinedReason[] = () => [];
  #number = 0;
  #sent = Number.NEGATIVE_INFINITY;
  #group: Group = 'level';
  #counted = 0;
  #arrived: number | null = null;

  constructor(start: FollowStart) {
    this.#start = start;
    this.#control = new Control(start.control);
  }

  run(): void {
    this.#source = openLive(this.#start.file, {
      waits: (waits) => {
        this.#control.waits = waits;
      },
      tick: this.#tick,
      stopped: () => this.#control.stopped,
    });
    try {
      this.#end(this.#import(this.#source));
    } finally {
      this.#source.close();
    }
  }

  /** Null where the person ended it before there was anything. */
  #import(source: LiveSource): ImportResult | null {
    const { output, replace } = this.#start;
    const open = (): TapWriter => {
      const writer = output === null ? new StreamWriter(() => {}) : createTrace(output, { replace });
      const take = (chunk: Chunk) => this.#profile.take(chunk);
      // to be interrupted is how a look ends: the trace has all that was asked for
      this.#tap = new TapWriter(writer, take, () => this.#control.stopped);
      return this.#tap;
    };
    const lanes = (all: readonly Lane[]): void => {
      this.#lanes = all;
    };
    const reasons = (coined: () => readonly CoinedReason[]): void => {
      this.#coined = coined;
    };
    try {
      const { tscHz } = this.#start;
      const look = { live: true, lanes, reasons, progress: this.#tick, ...(tscHz === null ? {} : { tscHz }) };
      return importTrace(source, open, output === null ? { ...look, columns: NUMBERS, brief: true } : look);
    } catch (error) {
      const isOfNothing = error instanceof ImportError && OF_NOTHING.has(error.code);
      if (this.#control.stopped && this.#tap === null && isOfNothing) return null;
      throw error;
    }
  }

  #end(result: ImportResult | null): void {
    this.#profile.end();
    const snapshot = this.#snapshot(true);
    if (result === null) {
      send({ kind: 'end', end: { snapshot, result: null, stopped: null } });
      return;
    }
    const { stopped, ...rest } = result;
    send({ kind: 'end', end: { snapshot, result: rest, stopped: stopped === null ? null : describeError(stopped) } });
  }

  /** Sends a snapshot when it is time, unless the one before still waits to be shown. */
  readonly #tick = (): void => {
    const due = performance.now() - this.#sent >= this.#start.interval;
    const asked = this.#control.group !== this.#group;
    if ((!due && !asked) || this.#control.seen < this.#number) return;
    send({ kind: 'look', look: this.#snapshot(due) });
  };

  /** `turns` says whether a window ends here. */
  #snapshot(turns: boolean): Snapshot {
    this.#tap?.show();
    const now = performance.now();
    const { events, newest } = this.#profile;
    if (events > this.#counted) {
      this.#counted = events;
      this.#arrived = now;
      if (newest !== null) this.#lag.arrived(newest, now);
    }
    if (turns) {
      this.#profile.turn();
      this.#sent = now;
    }
    this.#group = this.#control.group;
    this.#number += 1;
    const coined = this.#coined();
    return {
      number: this.#number,
      elapsed: now - this.#began,
      bytes: this.#source?.bytes ?? 0,
      lag: this.#lag.behind,
      quiet: this.#arrived === null ? null : now - this.#arrived,
      group: this.#group,
      profile: this.#profile.read(this.#groupOf[this.#group], MOST_ROWS, (domain, code) =>
        coinedName(coined, domain, code),
      ),
    };
  }

  readonly #groupOf: { readonly [group in Group]: (lane: number) => string } = {
    level: () => '',
    vm: (lane) => {
      const vm = this.#lanes[lane]?.vm ?? null;
      return vm === null ? '' : `VM ${vm}`;
    },
    vcpu: (id) => {
      const lane = this.#lanes[id];
      if (lane === undefined) return '';
      return lane.vm === null || lane.vcpu === null ? printable(lane.name) : `VM ${lane.vm} vCPU ${lane.vcpu}`;
    },
  };
}

function send(message: Message): void {
  parentPort?.postMessage(message);
}

const start = workerData as FollowStart;
try {
  new Follower(start).run();
} catch (error) {
  const described = describeError(withAdvice(error, start.file));
  if (described === null) throw error;
  send({ kind: 'failed', error: described });
}
