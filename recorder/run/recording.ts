/** One recording: a machine, the observer that writes what it does, its inputs and its checkpoints. */
import { type MemoryFilter, ringContent } from '../../engine/access-filter.js';
import { S } from '../../engine/cpu/layout.js';
import { driveTo, type EndKind, settle } from '../../engine/drive.js';
import { type Machine, SEMANTICS_VERSION, type Stop } from '../../engine/machine.js';
import { PAGE_BYTES } from '../../engine/memory/physical.js';
import { REGISTER_WORDS, registerWords } from '../../engine/registers.js';
import { type RunConfiguration, start } from '../../engine/start.js';
import { pageHash, RamDigest, stateDigest } from '../../traces/state-digest.js';
import type { TraceWriter } from '../../traces/store.js';
import { defineEngineDictionaries } from './dictionaries.js';
import { FilteringObserver, type OutputListener } from './filter.js';
import { TraceObserver } from './observer.js';

/** Bytes that arrive from outside at a tick. */
export interface ScheduledInput {
  readonly tick: number;
  readonly port: string;
  readonly bytes: Uint8Array;
}

export interface RecordingRequest {
  readonly configuration: RunConfiguration;
  readonly image: Uint8Array;
  readonly imageName: string;
  /** Which memory accesses are recorded. */
  readonly memory: MemoryFilter;
  /** Called with what the guest sends to the outside. */
  readonly onOutput?: OutputListener;
}

/** How a run ended. */
export interface Outcome {
  readonly kind: EndKind;
  /** Exit code of the guest; null unless it exited. */
  readonly code: number | null;
  readonly ticks: number;
  readonly steps: number;
  readonly events: number;
}

const KINDS: { readonly [end in Stop | EndKind]: EndKind } = {
  exit: 'exit',
  shutdown: 'shutdown',
  idle: 'halt',
  halt: 'halt',
  limit: 'budget',
  budget: 'budget',
  checkpoint: 'stopped',
  stopped: 'stopped',
};

/** How the run of a machine that stands still ended; `end` is what `run` answered last, or who ended it. */
export function outcomeOf(machine: Machine, end: Stop | EndKind): Outcome {
  const { exitStatus: status, now: ticks, cpu } = machine;
  const code = status === null ? null : status >>> 1;
  return { kind: KINDS[end], code, ticks, steps: cpu.step, events: cpu.number(S.EVENTS) };
}

/** What is written once: all that it takes to replay the run anywhere, and the names of the numbers in its tables. */
function writeFacts(writer: TraceWriter, { configuration, image, imageName, memory }: RecordingRequest): void {
  writer.setRun('source', 'engine');
  writer.setRun('semantics', String(SEMANTICS_VERSION));
  writer.setRun('cpu', configuration.cpu);
  writer.setRun('configuration', JSON.stringify(configuration));
  writer.setRun('image', image);
  writer.setRun('image_name', imageName);
  writer.setRun('memory', JSON.stringify(memory));
  defineEngineDictionaries(writer);
}

export class Recording {
  readonly machine: Machine;
  readonly #writer: TraceWriter;
  readonly #observer: TraceObserver;
  readonly #ram = new RamDigest();
  /** Hashes of the pages whose content the trace has. */
  readonly #stored = new Set<string>();
  #checkpoints = 0;

  /**
   * Starts the run and writes checkpoint 0. The trace is opened once the machine stands, so that a bad request leaves
   * no trace behind and replaces none.
   * @throws EngineError where the image or the configuration will not do
   */
  constructor(writer: TraceWriter | (() => TraceWriter), request: RecordingRequest) {
    const { configuration, image, imageName, memory } = request;
    const filter = new FilteringObserver(memory, request.onOutput ?? null);
    this.machine = start(configuration, image, imageName, filter);
    this.#writer = typeof writer === 'function' ? writer() : writer;
    const registers = new Uint32Array(REGISTER_WORDS);
    this.#observer = new TraceObserver(this.#writer, {
      isa: 1,
      registers: () => registerWords(this.machine.cpu, registers),
      now: () => this.machine.now,
    });
    filter.next = this.#observer;
    this.machine.recordMemory(ringContent(memory));
    writeFacts(this.#writer, request);
    this.#checkpoint();
    this.#writer.flush();
  }

  get events(): number {
    return this.#observer.seq;
  }

  /**
   * Runs to `target` ticks, taking checkpoints on the way. Answers why it stopped: `limit` there, `idle` (only with
   * `stopWhenIdle`) where nothing but input can go on, `exit`, `shutdown`.
   */
  runTo(target: number, stopWhenIdle: boolean): Exclude<Stop, 'checkpoint'> {
    for (;;) {
      const stop = driveTo(this.machine, target, stopWhenIdle);
      if (stop !== 'checkpoint') return stop;
      this.#checkpoint();
      this.#writer.flush();
    }
  }

  /** Bytes arrive now. False where the machine has no such port: nothing is recorded then. */
  receive(port: string, bytes: Uint8Array): boolean {
    if (!this.machine.receive(port, bytes)) return false;
    this.#writer.table('input').row({ tick: this.machine.now, port, bytes });
    // What follows from an input must not be durable before it: a killed recording could not be replayed.
    this.#writer.flush();
    return true;
  }

  /** Makes what is recorded so far durable, up to the last whole chunk. */
  flush(): void {
    this.machine.drain();
    this.#writer.flush();
  }

  /** Brings the digest of RAM up to date; answers the pages that changed since it was last. */
  #followPages(): { readonly number: number; readonly hash: string }[] {
    const { memory } = this.machine;
    const changed: { readonly number: number; readonly hash: string }[] = [];
    for (const number of this.machine.dirtyFrames()) {
      const hash = pageHash(memory.bytes.subarray(number * PAGE_BYTES, (number + 1) * PAGE_BYTES));
      if (hash === this.#ram.get(number)) continue;
      this.#ram.set(number, hash);
      changed.push({ number, hash });
    }
    return changed;
  }

  #state(): { readonly state: Uint8Array; readonly devices: string; readonly digest: string } {
    const { cpu, devices: records } = this.machine.save();
    const devices = JSON.stringify(records);
    return { state: cpu, devices, digest: stateDigest(cpu, devices, this.#ram) };
  }

  #checkpoint(): void {
    const { machine } = this;
    const id = this.#checkpoints++;
    for (const { number, hash } of this.#followPages()) {
      if (hash !== '' && !this.#stored.has(hash)) {
        this.#stored.add(hash);
        this.#writer.table('page').row({ hash, content: machine.memory.copyOut(number * PAGE_BYTES, PAGE_BYTES) });
      }
      this.#writer.table('checkpoint_page').row({ checkpoint: id, number, hash });
    }
    machine.clearDirty();
    this.#writer.table('checkpoint').row({ id, tick: machine.now, seq: this.events, ...this.#state() });
  }

  /** Closes the trace. `end` is what `runTo` answered last, or who ended the run. */
  finish(end: Stop | EndKind): { readonly outcome: Outcome; readonly digest: string } {
    const { machine } = this;
    settle(machine);
    this.#observer.settle();
    const outcome = outcomeOf(machine, end);
    this.#followPages();
    this.#writer.setRun('ticks', String(machine.now));
    this.#writer.setRun('state', this.#state().digest);
    this.#writer.setRun('outcome', JSON.stringify(outcome));
    return { outcome, digest: this.#writer.finish().digest };
  }
}
