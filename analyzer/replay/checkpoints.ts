/** Checkpoints of a trace: where they are, what they hold, and putting one into a machine. */
import { S, STATE_BYTES } from '../../engine/cpu/layout.js';
import type { Machine, MachineState } from '../../engine/machine.js';
import { PAGE_BYTES } from '../../engine/memory/physical.js';
import { pageHash, RamDigest } from '../../traces/state-digest.js';
import type { TraceReader } from '../../traces/store.js';
import { AnalysisError } from '../errors.js';
import { TableCursor } from './cursor.js';
import { countOf, placeOf } from './recorded.js';

export interface Checkpoint {
  readonly id: number;
  readonly tick: number;
  /** seq of the next event. */
  readonly seq: number;
  /** Digest of the whole state: traces/state-digest.ts. */
  readonly digest: string;
}

/** A checkpoint with what it holds. */
export interface StoredCheckpoint extends Checkpoint {
  readonly state: Uint8Array;
  /** JSON. */
  readonly devices: string;
  /** All pages as of this checkpoint; valid until the next one is read. */
  readonly ram: RamDigest;
}

function checkpointAt(reader: TraceReader, cursor: TableCursor, before: Checkpoint | null): Checkpoint {
  const checkpoint = {
    id: cursor.number('id'),
    tick: countOf(reader, cursor, 'tick'),
    seq: countOf(reader, cursor, 'seq'),
    digest: cursor.text('digest'),
  };
  const follows =
    checkpoint.id === cursor.row && checkpoint.tick >= (before?.tick ?? 0) && checkpoint.seq >= (before?.seq ?? 0);
  if (follows) return checkpoint;
  throw new AnalysisError('BAD_RECORD', placeOf(reader, cursor), 'it does not follow the one before');
}

export function checkpointsOf(reader: TraceReader): Checkpoint[] {
  const found: Checkpoint[] = [];
  const cursor = new TableCursor(reader, 'checkpoint');
  while (cursor.next()) found.push(checkpointAt(reader, cursor, found.at(-1) ?? null));
  return found;
}

/** Reads checkpoints in order, and RAM as of each. */
export class CheckpointWalk {
  readonly #reader: TraceReader;
  readonly #rows: TableCursor;
  readonly #pages: TableCursor;
  readonly #frames: number;
  readonly #ram = new RamDigest();
  #page: boolean;
  #last: Checkpoint | null = null;

  /** `frames`: pages of the machine's RAM. */
  constructor(reader: TraceReader, frames: number) {
    this.#reader = reader;
    this.#frames = frames;
    this.#rows = new TableCursor(reader, 'checkpoint');
    this.#pages = new TableCursor(reader, 'checkpoint_page');
    this.#page = this.#pages.next();
  }

  /** The next one; null where there is none. */
  next(): StoredCheckpoint | null {
    const rows = this.#rows;
    if (!rows.next()) return null;
    const checkpoint = checkpointAt(this.#reader, rows, this.#last);
    this.#last = checkpoint;
    for (; this.#page && this.#pages.number('checkpoint') <= checkpoint.id; this.#page = this.#pages.next()) {
      const number = this.#pages.number('number');
      if (number >= this.#frames) {
        throw new AnalysisError('BAD_RECORD', placeOf(this.#reader, this.#pages), `page ${number} is outside RAM`);
      }
      this.#ram.set(number, this.#pages.text('hash'));
    }
    return { ...checkpoint, state: rows.bytes('state'), devices: rows.text('devices'), ram: this.#ram };
  }
}

/** Puts the pages of a checkpoint into the machine's RAM. */
function loadPages(reader: TraceReader, machine: Machine, { ram }: StoredCheckpoint, where: string): void {
  const { memory } = machine;
  for (const frame of machine.dirtyFrames()) memory.bytes.fill(0, frame * PAGE_BYTES, (frame + 1) * PAGE_BYTES);
  const wanted = new Map<string, number[]>();
  for (let number = 0; number < memory.size / PAGE_BYTES; number++) {
    const hash = ram.get(number);
    if (hash === '') continue;
    const numbers = wanted.get(hash);
    if (numbers) numbers.push(number);
    else wanted.set(hash, [number]);
  }
  const cursor = new TableCursor(reader, 'page');
  while (wanted.size > 0 && cursor.next()) {
    const hash = cursor.text('hash');
    const numbers = wanted.get(hash);
    if (!numbers) continue;
    const content = cursor.bytes('content');
    if (content.length !== PAGE_BYTES || pageHash(content) !== hash) {
      throw new AnalysisError(
        'BAD_CHECKPOINT',
        where,
        `page ${numbers[0]} does not have the content that its hash says`,
      );
    }
    for (const number of numbers) memory.copyIn(number * PAGE_BYTES, content);
    wanted.delete(hash);
  }
  for (const [number] of wanted.values()) throw new AnalysisError('BAD_CHECKPOINT', where, `page ${number} is missing`);
}

function stateOf({ state, devices, tick, seq }: StoredCheckpoint, where: string): MachineState {
  if (state.length !== STATE_BYTES) {
    throw new AnalysisError('BAD_CHECKPOINT', where, `its CPU state has ${state.length} bytes, not ${STATE_BYTES}`);
  }
  const view = new DataView(state.buffer, state.byteOffset, state.length);
  const holds = (slot: number, value: number): boolean => view.getBigUint64(slot, true) === BigInt(value);
  if (!holds(S.TICK, tick) || !holds(S.EVENTS, seq)) {
    throw new AnalysisError('BAD_CHECKPOINT', where, 'its CPU state is of another tick or event');
  }
  let records: unknown;
  try {
    records = JSON.parse(devices);
  } catch {
    throw new AnalysisError('BAD_CHECKPOINT', where, 'its device records are no JSON');
  }
  if (typeof records !== 'object' || records === null || Array.isArray(records)) {
    throw new AnalysisError('BAD_CHECKPOINT', where, 'its device records are none');
  }
  return { cpu: state, devices: records as MachineState['devices'] };
}

/**
 * Puts the machine, which must be fresh, into the state of a checkpoint.
 * @throws AnalysisError BAD_CHECKPOINT where the trace lacks a part of it, or the machine cannot take it
 */
export function loadCheckpoint(reader: TraceReader, machine: Machine, checkpoint: StoredCheckpoint): void {
  const where = `${reader.path}, checkpoint ${checkpoint.id}`;
  const state = stateOf(checkpoint, where);
  loadPages(reader, machine, checkpoint, where);
  try {
    machine.load(state);
  } catch (error) {
    throw new AnalysisError('BAD_CHECKPOINT', where, error instanceof Error ? error.message : String(error));
  }
}
