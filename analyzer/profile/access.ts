/**
 * Accesses that the host emulates, and how long they take, as `perf kvm stat --event=mmio` and `--event=ioport` define
 * it (tools/perf/Documentation/perf-kvm.txt, and its begin and end events):
 * - an access to a port: from kvm_pio to the entry
 * - a write to MMIO: from kvm_mmio to the entry; a read, which user space may have served: from the exit to kvm_mmio
 * An access that another one follows before the entry has no time, and is left out, as there.
 */
import { EVENT_FLAGS, EVENT_KINDS } from '../../engine/observer.js';
import type { Chunk } from '../../traces/store.js';
import { UNKNOWN_LEVEL } from './event.js';
import { countedReason, keyOfAccess } from './keys.js';
import { Clock, EventView, type Narrow, narrow, type Wide } from './view.js';
import { WalkedExit } from './walk.js';

export const ACCESS_EVENTS = ['mmio', 'ioport'] as const;
export type AccessEvent = (typeof ACCESS_EVENTS)[number];

const HIGH = 0x1_0000_0000;

/** What goes on on a lane. */
class Lane {
  readonly access = new WalkedExit();
  /** When the access, or what may become one, began. */
  begun = false;
  low = 0;
  high = 0;
  /** What it is of is known. */
  known = false;
}

export class AccessWalker {
  readonly #event: AccessEvent;
  readonly #take: (access: WalkedExit) => void;
  readonly #lanes = new Map<number, Lane>();
  readonly #clock = new Clock();

  /** `take` gets each access with its time, as the exit that it is a part of; valid during the call only. */
  constructor(event: AccessEvent, take: (access: WalkedExit) => void) {
    this.#event = event;
    this.#take = take;
  }

  /** Takes a chunk of the event table, in order; other tables are ignored. */
  take(chunk: Chunk): void {
    if (chunk.table !== 'event') return;
    const clock = this.#clock.of(chunk);
    if (clock === null) return;
    const view = new EventView(chunk);
    const flags = narrow(chunk.column('flags'));
    for (let i = 0; i < chunk.rows; i++) {
      const kind = view.kind[i] as number;
      if (kind === EVENT_KINDS.lost) {
        for (const lane of this.#lanes.values()) lane.begun = false;
      } else if (kind === EVENT_KINDS.exit) this.#exit(view, i, clock);
      else if (kind === EVENT_KINDS.entry) this.#end(this.#lane(view.lane[i] as number), clock, i);
      else if (kind === (this.#event === 'mmio' ? EVENT_KINDS.mmio : EVENT_KINDS.io)) {
        this.#access(view, i, flags, clock);
      }
    }
  }

  #lane(id: number): Lane {
    let lane = this.#lanes.get(id);
    if (lane === undefined) {
      lane = new Lane();
      lane.access.lane = id;
      this.#lanes.set(id, lane);
    }
    return lane;
  }

  #exit({ lane: lanes, level, isa, reason, rip }: EventView, i: number, clock: Wide): void {
    const lane = this.#lane(lanes[i] as number);
    const { access } = lane;
    access.level = level.valid[i] === 1 ? (level.cells[i] as number) : UNKNOWN_LEVEL;
    access.isa = isa.valid[i] === 1 ? (isa.cells[i] as number) : 0;
    access.reasonLow = countedReason(access.isa, reason.cells[2 * i] as number);
    access.reasonHigh = reason.cells[2 * i + 1] as number;
    access.hasRip = rip.valid[i] === 1;
    access.ripLow = rip.cells[2 * i] as number;
    access.ripHigh = rip.cells[2 * i + 1] as number;
    lane.known = false;
    if (this.#event === 'mmio') begin(lane, clock, i);
    else lane.begun = false;
  }

  #access({ lane: lanes, gpa, code }: EventView, i: number, flags: Narrow, clock: Wide): void {
    if (flags.valid[i] === 0 || ((flags.cells[i] as number) & EVENT_FLAGS.refused) !== 0) return; // user space will serve it
    const lane = this.#lane(lanes[i] as number);
    const written = ((flags.cells[i] as number) & EVENT_FLAGS.write) !== 0;
    const { cells } = this.#event === 'mmio' ? gpa : code;
    const ends = this.#event === 'mmio' && !written;
    // A read behind a write of the same exit is taken for its end, as perf takes it.
    if (!ends || !lane.known) {
      keyOfAccess(this.#event, cells[2 * i] as number, cells[2 * i + 1] as number, written, lane.access.key);
    }
    lane.known = true;
    if (ends) this.#end(lane, clock, i);
    else begin(lane, clock, i);
  }

  #end(lane: Lane, { cells, valid }: Wide, i: number): void {
    const time =
      lane.begun && valid[i] === 1
        ? ((cells[2 * i + 1] as number) - lane.high) * HIGH + (cells[2 * i] as number) - lane.low
        : -1;
    if (lane.known && time >= 0) {
      lane.access.time = time;
      this.#take(lane.access);
    }
    lane.begun = false;
    lane.known = false;
  }
}

function begin(lane: Lane, { cells, valid }: Wide, i: number): void {
  lane.begun = valid[i] === 1;
  lane.low = cells[2 * i] as number;
  lane.high = cells[2 * i + 1] as number;
}
