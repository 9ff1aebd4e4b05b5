/**
 * The VMCS as of an event of a recorded run: all of its fields, as the processor has them then. The run is made again
 * from the nearest checkpoint, because a trace keeps what changes a VMCS, not the VMCS.
 */
import { S } from '../../engine/cpu/layout.js';
import type { Machine } from '../../engine/machine.js';
import { type EventRecord, FIELD_INDEX, nullObserver, type Observer } from '../../engine/observer.js';
import { ACCESS } from '../../engine/vmx/capabilities.js';
import { FIELDS, type FieldName, REGION } from '../../engine/vmx/fields.js';
import type { TraceReader } from '../../traces/store.js';
import { AnalysisError } from '../errors.js';
import { checkpointsOf } from '../replay/checkpoints.js';
import { Player } from '../replay/player.js';
import { recordedRun } from '../replay/recorded.js';

/** What stood in the machine when an event was told; to be looked at during the call only. */
export interface Moment {
  readonly seq: number;
  readonly tick: number;
  /** Physical address of the VMCS. */
  readonly vmcs: bigint;
  /** Fields that this processor has, in the order of the manual's appendix. */
  readonly fields: ReadonlyMap<FieldName, bigint>;
  readonly efer: bigint;
  /** Four bytes of physical memory. */
  readonly memory: (address: bigint) => number;
  readonly event: EventRecord;
}

const MASK = { 2: 0xffffn, 4: 0xffff_ffffn, 8: 0xffff_ffff_ffff_ffffn } as const;

function fieldsAt(machine: Machine, vmcs: number): Map<FieldName, bigint> {
  const { memory, cpu } = machine;
  const { access } = cpu.vmx.capabilities;
  const fields = new Map<FieldName, bigint>();
  for (const { name, encoding, offset, bytes } of FIELDS) {
    if (!((access[encoding] ?? 0) & ACCESS.exists)) continue;
    fields.set(name, memory.view.getBigUint64(vmcs + offset, true) & MASK[bytes]);
  }
  return fields;
}

/** The VMCS that an event names, or the current one. */
function vmcsOf(machine: Machine, event: EventRecord): bigint {
  const i = FIELD_INDEX.vmcs;
  if (!(event.mask & (1 << i))) return machine.cpu.u64(S.VMCS_POINTER);
  return BigInt(event.words[2 * i] ?? 0) | (BigInt(event.words[2 * i + 1] ?? 0) << 32n);
}

/** Looks at wanted events as they come; wanted ones without a VMCS are passed by. */
class Watcher implements Observer {
  readonly memory = nullObserver.memory;
  readonly message = nullObserver.message;
  readonly output = nullObserver.output;
  readonly #wanted: ReadonlySet<number>;
  readonly #see: (moment: Moment) => void;
  #left: number;
  /** Set once the machine stands. */
  machine: Machine | null = null;

  constructor(wanted: ReadonlySet<number>, see: (moment: Moment) => void) {
    this.#wanted = wanted;
    this.#left = wanted.size;
    this.#see = see;
  }

  get done(): boolean {
    return this.#left === 0;
  }

  event(event: EventRecord): void {
    const { machine } = this;
    if (machine === null) return;
    // The event was counted before it was told.
    const seq = machine.cpu.number(S.EVENTS) - 1;
    if (!this.#wanted.has(seq)) return;
    this.#left--;
    const vmcs = vmcsOf(machine, event);
    if (!machine.memory.isRam(Number(vmcs), REGION.bytes)) return;
    const moment: Moment = {
      seq,
      tick: event.tick,
      vmcs,
      fields: fieldsAt(machine, Number(vmcs)),
      efer: machine.cpu.u64(S.EFER),
      memory: (address) => machine.memory.read(Number(address), 4),
      event,
    };
    this.#see(moment);
  }
}

/**
 * Makes the run again and calls `see` at each of the wanted events that has a VMCS, in their order.
 * @param wanted seq of events
 * @throws AnalysisError, TraceError where the trace cannot be replayed
 */
export function atEvents(
  reader: TraceReader,
  wanted: readonly number[],
  see: (moment: Moment) => void,
  progress: (tick: number, end: number) => void = () => {},
): void {
  if (wanted.length === 0) return;
  const run = recordedRun(reader);
  const first = Math.min(...wanted);
  const before = checkpointsOf(reader).findLast(({ seq }) => seq <= first);
  const watcher = new Watcher(new Set(wanted), see);
  const player = new Player(reader, run, watcher, { from: before?.id ?? null, memory: 'none' });
  watcher.machine = player.machine;
  player.play(
    () => watcher.done,
    (tick) => progress(tick, run.end),
  );
  if (!watcher.done) {
    throw new AnalysisError('BAD_RECORD', reader.path, `the replay did not come to event ${Math.max(...wanted)}`);
  }
}
