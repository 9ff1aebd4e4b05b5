/** Plays a recorded run again: the same image, configuration and inputs on a machine, from its start or a checkpoint. */

import { S } from '../../engine/cpu/layout.js';
import { driveTo, limitOf, settle } from '../../engine/drive.js';
import { EngineError } from '../../engine/errors.js';
import type { Machine } from '../../engine/machine.js';
import { PAGE_BYTES } from '../../engine/memory/physical.js';
import type { RingContent } from '../../engine/memory/ring.js';
import type { Observer } from '../../engine/observer.js';
import { start } from '../../engine/start.js';
import { pageHash, RamDigest, stateDigest } from '../../traces/state-digest.js';
import type { TraceReader } from '../../traces/store.js';
import { AnalysisError } from '../errors.js';
import { CheckpointWalk, loadCheckpoint, type StoredCheckpoint } from './checkpoints.js';
import type { RecordedRun } from './recorded.js';
import type { ReachedState } from './state-difference.js';

export interface PlayerOptions {
  /** Checkpoint to start from; null: the image, before the first tick. */
  readonly from: number | null;
  /** Which memory accesses the observer is told of. */
  readonly memory: RingContent;
  /**
   * Called where a checkpoint is due, the one that the replay starts from included, with what the trace has for it;
   * null: the recording took none there.
   */
  readonly onCheckpoint?: (recorded: StoredCheckpoint | null, reached: ReachedState) => void;
}

/** Ticks between two looks at whether the caller wants to stop. */
const SLICE = 2_000_000;

export class Player {
  readonly machine: Machine;
  readonly #reader: TraceReader;
  readonly #run: RecordedRun;
  readonly #options: PlayerOptions;
  readonly #ram = new RamDigest();
  readonly #checkpoints: CheckpointWalk;
  #nextInput = 0;

  /** @throws AnalysisError, TraceError where the trace cannot be replayed */
  constructor(reader: TraceReader, run: RecordedRun, observer: Observer, options: PlayerOptions) {
    this.#reader = reader;
    this.#run = run;
    this.#options = options;
    this.machine = this.#start(observer);
    this.#checkpoints = new CheckpointWalk(reader, this.#frames);
    const first = options.from === null ? this.#checkpoints.next() : this.#load(options.from);
    this.machine.recordMemory(options.memory);
    options.onCheckpoint?.(first, this.state());
    this.machine.clearDirty();
  }

  #start(observer: Observer): Machine {
    const { configuration, image, imageName } = this.#run;
    try {
      return start(configuration, image, imageName, observer);
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      throw new AnalysisError('NOT_REPLAYABLE', this.#reader.path, error.message);
    }
  }

  /** Brings the machine into the state of a checkpoint. */
  #load(id: number): StoredCheckpoint {
    for (let found = this.#checkpoints.next(); found; found = this.#checkpoints.next()) {
      if (found.id !== id) continue;
      loadCheckpoint(this.#reader, this.machine, found);
      // An input that came at the checkpoint's own tick came after it.
      while ((this.#run.inputs[this.#nextInput]?.tick ?? found.tick) < found.tick) this.#nextInput++;
      return found;
    }
    const count = this.#reader.rows('checkpoint');
    const there = count === 0 ? 'the trace has none' : `the trace has 0 to ${count - 1}`;
    throw new AnalysisError('NO_CHECKPOINT', `${this.#reader.path}, checkpoint ${id}`, there);
  }

  get #frames(): number {
    return this.machine.memory.size / PAGE_BYTES;
  }

  /** The machine's state now; asked for where a checkpoint is due, and at the end. */
  state(): ReachedState {
    const { machine } = this;
    for (const number of machine.dirtyFrames()) {
      const content = machine.memory.bytes.subarray(number * PAGE_BYTES, (number + 1) * PAGE_BYTES);
      this.#ram.set(number, pageHash(content));
    }
    const { cpu, devices: records } = machine.save();
    const devices = JSON.stringify(records);
    return {
      tick: machine.now,
      seq: machine.cpu.number(S.EVENTS),
      cpu,
      devices,
      ram: this.#ram,
      frames: this.#frames,
      digest: stateDigest(cpu, devices, this.#ram),
    };
  }

  #receive(): void {
    const input = this.#run.inputs[this.#nextInput];
    if (!input || this.machine.receive(input.port, input.bytes)) {
      this.#nextInput++;
      return;
    }
    const where = `${this.#reader.path}, table input, row ${this.#nextInput}`;
    throw new AnalysisError('BAD_RECORD', where, `the machine has no port "${input.port.slice(0, 40)}"`);
  }

  /** Runs to `target` ticks with the recorded inputs, or until `stop` says so. False: the run ended before. */
  #runTo(target: number, stop: () => boolean): boolean {
    while (!stop()) {
      const due = this.#run.inputs[this.#nextInput]?.tick ?? Number.POSITIVE_INFINITY;
      if (due <= this.machine.now && due <= this.#run.end) {
        this.#receive();
        continue;
      }
      const why = driveTo(this.machine, Math.min(due, target));
      if (why === 'checkpoint') {
        this.#options.onCheckpoint?.(this.#checkpoints.next(), this.state());
        this.machine.clearDirty();
      } else if (why !== 'limit') return false;
      else if (this.machine.now >= target && due > this.machine.now) return true;
    }
    return true;
  }

  /** Tick at which the recording ended. */
  get end(): number {
    return this.#run.end;
  }

  /** After `play`: a checkpoint of the recording that the replay did not come to, or null. */
  missingCheckpoint(): StoredCheckpoint | null {
    return this.#checkpoints.next();
  }

  /** Runs to the end of the recording, or until `stop` says so. `progress` gets the tick. */
  play(stop: () => boolean = () => false, progress: (tick: number) => void = () => {}): void {
    const { machine } = this;
    const limit = limitOf(this.#run.end, this.#run.ending);
    let goesOn = true;
    while (goesOn && !stop()) {
      progress(machine.now);
      goesOn = this.#runTo(Math.min(limit, machine.now + SLICE), stop) && machine.now < limit;
    }
    settle(machine);
  }
}
