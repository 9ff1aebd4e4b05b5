/** One recording: a machine, the observer that writes what it does, its inputs and its checkpoints. */
import { driveTo } from '../../engine/drive.js';
import { type Machine, SEMANTICS_VERSION, type Stop } from '../../engine/machine.js';
import { PAGE_BYTES } from '../../engine/memory/physical.js';
import { type RunConfiguration, start } from '../../engine/start.js';
import { pageHash, RamDigest, stateDigest } from '../../traces/state-digest.js';
import type { TraceWriter } from '../../traces/store.js';
import { defineEngineDictionaries } from './dictionaries.js';
import { type AddressRange, FilteringObserver } from './filter.js';
import { TraceObserver } from './observer.js';
import { registerWords } from './registers.js';

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
  /** Whether memory accesses are recorded, and which: see MemoryFilter. */
  readonly memory: MemoryFilter;
  /** Called with what the guest sends to the outside. */
  readonly onOutput?: (port: string, bytes: Uint8Array) => void;
}

/** `off`, `all`, or ranges of guest physical addresses. */
export type MemoryFilter = 'off' | 'all' | readonly AddressRange[];

/** How a run ended. `halt`: the vCPU waits for what will never come; `budget`: its ticks are used up. */
export interface Outcome {
  readonly kind: 'exit' | 'halt' | 'shutdown' | 'budget' | 'stopped';
  /** Exit code of the guest; null unless it exited. */
  readonly code: number | null;
  readonly ticks: number;
  readonly steps: number;
  readonly events: number;
}

const KIND: { readonly [stop in Stop]: Outcome['kind'] } = {
  exit: 'exit',
  shutdown: 'shutdown',
  idle: 'halt',
  limit: 'budget',
  checkpoint: 'stopped',
};

export class Recording {
  readonly machine: Machine;
  readonly #writer: TraceWriter;
  readonly #observer: TraceObserver;
  readonly #ram = new RamDigest();
  readonly #stored = new Set<string>();
  #checkpoints = 0;

  /** Starts the run and writes checkpoint 0. Throws EngineError where the image or configuration will not do. */
  constructor(writer: TraceWriter, request: RecordingRequest) {
    this.#writer = writer;
    const { configuration, image, imageName } = request;
    // The machine tells its observer nothing before the first tick, so the observer may be made with the machine.
    const observer = new TraceObserver(writer, {
      isa: 1,
      registers: () => registerWords(this.machine),
      now: () => this.machine.now,
    });
    this.#observer = observer;
    const ranges = typeof request.memory === 'string' ? null : request.memory;
    const filter = new FilteringObserver(observer, ranges, request.onOutput ?? null);
    this.machine = start(configuration, image, imageName, filter);
    this.machine.recordMemory(request.memory !== 'off');
    writer.setRun('source', 'engine');
    writer.setRun('semantics', String(SEMANTICS_VERSION));
    writer.setRun('cpu', configuration.cpu);
    writer.setRun('configuration', JSON.stringify(configuration));
    writer.setRun('image', image);
    writer.setRun('image_name', imageName);
    writer.setRun('memory', JSON.stringify(request.memory));
    defineEngineDictionaries(writer);
    this.#checkpoint();
    writer.flush();
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
    return true;
  }

  /** Makes what is recorded so far durable, up to the last whole chunk. */
  flush(): void {
    this.machine.drain();
    this.#writer.flush();
  }

  #checkpoint(): void {
    const { machine } = this;
    const id = this.#checkpoints++;
    const state = machine.save();
    const devices = JSON.stringify(state.devices);
    const changed = this.#writer.table('checkpoint_page');
    for (const frame of machine.dirtyFrames()) {
      const content = machine.memory.bytes.subarray(frame * PAGE_BYTES, (frame + 1) * PAGE_BYTES);
      const hash = pageHash(content);
      if (hash === this.#ram.get(frame)) continue;
      if (hash !== '' && !this.#stored.has(hash)) {
        this.#stored.add(hash);
        this.#writer.table('page').row({ hash, content: content.slice() });
      }
      this.#ram.set(frame, hash);
      changed.row({ checkpoint: id, number: frame, hash });
    }
    machine.clearDirty();
    this.#writer.table('checkpoint').row({
      id,
      tick: machine.now,
      seq: this.#observer.seq,
      state: state.cpu,
      devices,
      digest: stateDigest(state.cpu, devices, this.#ram),
    });
  }

  /** Closes the trace. `stop` is what `runTo` answered last. */
  finish(stop: Stop): { readonly outcome: Outcome; readonly digest: string } {
    const { machine } = this;
    machine.drain();
    this.#observer.settle();
    const status = machine.exitStatus;
    const outcome: Outcome = {
      kind: KIND[stop],
      code: status === null ? null : status >>> 1,
      ticks: machine.now,
      steps: machine.cpu.step,
      events: this.#observer.seq,
    };
    this.#writer.setRun('ticks', String(machine.now));
    this.#writer.setRun('outcome', JSON.stringify(outcome));
    return { outcome, digest: this.#writer.finish().digest };
  }
}
