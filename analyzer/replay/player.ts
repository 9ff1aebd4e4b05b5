/** Plays a recorded run again: the same image, configuration and inputs on a machine, from its start or a checkpoint. */
import { driveTo } from '../../engine/drive.js';
import { type Machine, SEMANTICS_VERSION, type Stop } from '../../engine/machine.js';
import { PAGE_BYTES } from '../../engine/memory/physical.js';
import type { Observer } from '../../engine/observer.js';
import { type RunConfiguration, start } from '../../engine/start.js';
import { pageHash, RamDigest, stateDigest } from '../../traces/state-digest.js';
import type { TraceReader } from '../../traces/store.js';
import { AnalysisError } from '../errors.js';
import { type Checkpoint, checkpointsOf, loadCheckpoint } from './checkpoints.js';
import { TableCursor } from './cursor.js';

export interface PlayerOptions {
  /** Checkpoint to start from; null: the image, before the first tick. */
  readonly from: number | null;
  /** Tell the observer of memory accesses. */
  readonly memory: boolean;
  /** Called at every checkpoint of the recording that the replay comes to, the one that it starts from included. */
  readonly onCheckpoint?: (reached: Reached) => void;
}

interface Input {
  readonly tick: number;
  readonly port: string;
  readonly bytes: Uint8Array;
}

/** A checkpoint that the replay has reached, with the digest of the machine's state there. */
export interface Reached {
  readonly checkpoint: Checkpoint;
  readonly digest: string;
  readonly tick: number;
}

/** Ticks between two looks at whether the caller wants to stop. */
const SLICE = 2_000_000;

/**
 * The configuration of a recorded run.
 * @throws AnalysisError where the trace was imported, or recorded by another version of the engine
 */
export function configurationOf(reader: TraceReader): RunConfiguration {
  const source = reader.run('source');
  if (source !== 'engine') {
    throw new AnalysisError('NOT_REPLAYABLE', reader.path, `it was imported (${source ?? 'unknown source'})`);
  }
  const semantics = reader.run('semantics');
  if (semantics !== String(SEMANTICS_VERSION)) {
    const why = `it was recorded with engine semantics ${semantics ?? '?'}, this is ${SEMANTICS_VERSION}`;
    throw new AnalysisError('OTHER_SEMANTICS', reader.path, why);
  }
  const text = reader.run('configuration');
  try {
    if (text !== null) return JSON.parse(text) as RunConfiguration;
  } catch {
    // Told below, as an absent one.
  }
  throw new AnalysisError('NOT_REPLAYABLE', reader.path, 'its configuration is missing or no JSON');
}

/** Tick at which the recording ended; of a recording that was cut, that of the last event that it kept. */
export function endOf(reader: TraceReader): number {
  const ticks = reader.run('ticks');
  if (ticks !== null && reader.complete) return Number(ticks);
  const events = reader.rows('event');
  const last = checkpointsOf(reader).at(-1)?.tick ?? 0;
  if (events === 0) return last;
  const cursor = new TableCursor(reader, 'event', events - 1);
  return cursor.next() ? Math.max(last, cursor.number('tick')) : last;
}

export class Player {
  readonly machine: Machine;
  readonly #reader: TraceReader;
  readonly #inputs: readonly Input[];
  readonly #checkpoints: readonly Checkpoint[];
  readonly #ram = new RamDigest();
  #nextInput = 0;
  #nextCheckpoint: number;
  readonly #onCheckpoint: (reached: Reached) => void;

  /** @throws AnalysisError, TraceError, EngineError where the trace cannot be replayed */
  constructor(reader: TraceReader, observer: Observer, options: PlayerOptions) {
    this.#reader = reader;
    this.#onCheckpoint = options.onCheckpoint ?? (() => {});
    const configuration = configurationOf(reader);
    const image = reader.image();
    if (image === null) throw new AnalysisError('NOT_REPLAYABLE', reader.path, 'it has no image');
    this.machine = start(configuration, image, reader.run('image_name') ?? 'image', observer);
    this.#checkpoints = checkpointsOf(reader);
    this.#inputs = this.#readInputs();
    let at = 0;
    this.#nextCheckpoint = 0;
    if (options.from !== null) {
      at = loadCheckpoint(reader, this.machine, options.from).tick;
      this.#nextCheckpoint = options.from;
      // An input that came at the checkpoint's own tick came after it.
      while ((this.#inputs[this.#nextInput]?.tick ?? at) < at) this.#nextInput++;
    }
    this.machine.recordMemory(options.memory);
    this.#reach();
  }

  #readInputs(): Input[] {
    const inputs: Input[] = [];
    const cursor = new TableCursor(this.#reader, 'input');
    while (cursor.next()) {
      inputs.push({ tick: cursor.number('tick'), port: cursor.text('port'), bytes: cursor.bytes('bytes').slice() });
    }
    return inputs;
  }

  /** Digest of the machine's state now; only where a checkpoint is due. */
  #digest(): string {
    const { machine } = this;
    for (const frame of machine.dirtyFrames()) {
      this.#ram.set(frame, pageHash(machine.memory.bytes.subarray(frame * PAGE_BYTES, (frame + 1) * PAGE_BYTES)));
    }
    machine.clearDirty();
    const state = machine.save();
    return stateDigest(state.cpu, JSON.stringify(state.devices), this.#ram);
  }

  #reach(): void {
    const digest = this.#digest();
    const checkpoint = this.#checkpoints[this.#nextCheckpoint];
    if (!checkpoint) return;
    this.#nextCheckpoint++;
    this.#onCheckpoint({ checkpoint, digest, tick: this.machine.now });
  }

  /** Runs to `target` ticks with the recorded inputs; answers what `driveTo` does, never `checkpoint`. */
  runTo(target: number): Exclude<Stop, 'checkpoint'> {
    for (;;) {
      const input = this.#inputs[this.#nextInput];
      const until = input && input.tick < target ? input.tick : target;
      const stop = driveTo(this.machine, until);
      if (stop === 'checkpoint') this.#reach();
      else if (stop !== 'limit' || until === target) return stop;
      if (stop === 'limit' && input && this.machine.now >= input.tick) {
        this.machine.receive(input.port, input.bytes);
        this.#nextInput++;
      }
    }
  }

  /** See `endOf`. */
  get end(): number {
    return endOf(this.#reader);
  }

  /** Runs to the end of the recording, or until `stop` says so. `progress` gets the tick. */
  play(stop: () => boolean = () => false, progress: (tick: number) => void = () => {}): void {
    const { end, machine } = this;
    while (!stop()) {
      progress(machine.now);
      const why = this.runTo(Math.min(end, machine.now + SLICE));
      if (why !== 'limit' || machine.now >= end) break;
    }
    machine.drain();
  }
}
