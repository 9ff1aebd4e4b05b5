/**
 * A deterministic made-up trace of nested virtualization: a level-2 guest whose exits L0 reflects to the level-1
 * hypervisor, whose own exits serve them; failed entries and lost events now and then. Counts of what was written
 * come back, so that a test has numbers that did not pass through a reader.
 */
import { EVENT_KINDS, type EventKind } from '../../engine/observer.js';
import { TABLES } from '../../traces/schema.js';
import type { Cell, Row, TraceWriter } from '../../traces/store.js';

export interface SyntheticOptions {
  readonly events: number;
  readonly vcpus: number;
  readonly seed: number;
  /** `engine`: ticks and steps; `host`: nanoseconds. */
  readonly clock: 'engine' | 'host';
}

/** [basic reason, name, weight, ticks of the handler, instruction bytes] */
const REASONS: readonly (readonly [number, string, number, number, readonly number[]])[] = [
  [10, 'CPUID', 18, 180, [0x0f, 0xa2]],
  [30, 'IO_INSTRUCTION', 24, 420, [0xee]],
  [32, 'MSR_WRITE', 20, 260, [0x0f, 0x30]],
  [31, 'MSR_READ', 9, 210, [0x0f, 0x32]],
  [48, 'EPT_VIOLATION', 12, 900, [0x48, 0x89, 0x07]],
  [1, 'EXTERNAL_INTERRUPT', 10, 350, []],
  [18, 'VMCALL', 5, 240, [0x0f, 0x01, 0xc1]],
  [28, 'CR_ACCESS', 4, 200, [0x0f, 0x22, 0xd8]],
  [12, 'HLT', 3, 5200, [0xf4]],
];
const NESTED: readonly (readonly [number, string])[] = [
  [25, 'VMWRITE'],
  [23, 'VMREAD'],
  [24, 'VMRESUME'],
];
const INVALID_STATE = 33;
/** Start of the host's clock, in nanoseconds. */
const EPOCH = 1_700_000_000_000_000_000n;

/** xorshift32 (Marsaglia): the same numbers everywhere. */
export function random(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 0x1_0000_0000;
  };
}

export function writeSynthetic(writer: TraceWriter, options: SyntheticOptions): void {
  const { events, vcpus, seed, clock } = options;
  const next = random(seed);
  const table = writer.table('event');
  const registers = writer.table('register');
  const clocks = Array.from({ length: vcpus }, () => 0);
  let seq = 0;
  writer.setRun('format', '1');
  writer.setRun('source', clock === 'engine' ? 'engine' : 'trace-cmd');
  writer.setRun('image_name', 'synthetic');
  for (const [name, code] of Object.entries(EVENT_KINDS)) writer.define('kind', code, name);
  for (const [code, name] of [...REASONS, ...NESTED, [INVALID_STATE, 'INVALID_GUEST_STATE'] as const]) {
    writer.define('reason.vmx', code, name);
  }
  for (let vcpu = 0; vcpu < vcpus; vcpu++) writer.define('vcpu', vcpu, `vCPU ${vcpu}`);

  const columns = Object.fromEntries(TABLES.event.columns.map(({ name }) => [name, table.index(name)]));
  const put = (name: string, cell: Cell): void => {
    const column = columns[name] ?? -1;
    if (typeof cell === 'number') table.number(column, cell);
    else if (typeof cell === 'bigint') table.big(column, cell);
    else if (cell instanceof Uint8Array) table.bytes(column, cell);
  };
  const add = (
    vcpu: number,
    kind: EventKind,
    from: number | null,
    to: number | null,
    ticks: number,
    more: Row = {},
  ): number => {
    if (seq >= events) return seq;
    const at = (clocks[vcpu] ?? 0) + Math.max(1, Math.round(ticks));
    clocks[vcpu] = at;
    put('seq', seq);
    put('vcpu', vcpu);
    put('kind', EVENT_KINDS[kind]);
    put('from_level', from);
    put('to_level', to);
    put(clock === 'engine' ? 'tick' : 'time_ns', clock === 'engine' ? at : EPOCH + BigInt(at));
    if (clock === 'engine') put('step', Math.floor(at / 2));
    for (const name in more) put(name, more[name] ?? null);
    table.end();
    return seq++;
  };
  const pick = (): (typeof REASONS)[number] => {
    let left = next() * REASONS.reduce((sum, [, , weight]) => sum + weight, 0);
    for (const reason of REASONS) {
      left -= reason[2];
      if (left < 0) return reason;
    }
    return [10, 'CPUID', 1, 180, []];
  };
  const exit = (vcpu: number, level: number, to: number, reason: number, ticks: number, more: Row = {}): number =>
    add(vcpu, 'exit', level, to, ticks, {
      isa: 1,
      reason,
      rip: 0xffff_8000_0000_0000n + BigInt(Math.floor(next() * 64)) * 16n,
      cr3: 0x1000,
      ...more,
    });

  while (seq < events) {
    const vcpu = clocks.indexOf(Math.min(...clocks));
    const [reason, , , cost, bytes] = pick();
    const away = cost * (0.6 + next() * (next() < 0.02 ? 20 : 0.9));
    const nested = next() < 0.35;
    const burst = next() < 0.01 ? 40_000 : 0;
    const parent = exit(vcpu, nested ? 2 : 1, 0, reason, 300 + next() * 900 + burst, {
      bytes: Uint8Array.from(bytes),
      qualification: reason === 30 ? 0x3f8_0000 : reason === 48 ? 0x182 : reason === 28 ? 3 : 0,
      ...(reason === 48 ? { gpa: 0xfe00_0000 + Math.floor(next() * 16) * 4096 } : {}),
    });
    if (parent < events)
      registers.row({
        seq: parent,
        rax: parent,
        rcx: parent % 7 === 0 ? 0xc000_0080 : null,
        rflags: parent < vcpus * 4 ? 2 : null,
      });
    if (nested) {
      add(vcpu, 'entry', 0, 1, away * 0.3, { parent });
      for (const [code] of NESTED.slice(0, 1 + Math.floor(next() * 3))) {
        const work = exit(vcpu, 1, 0, code, 60 + next() * 80, { parent });
        add(vcpu, 'entry', 0, 1, 90 + next() * 60, { parent: work });
      }
      exit(vcpu, 1, 0, 24, 40, { parent });
    }
    if (next() < 0.0006) {
      add(vcpu, 'entry_failed', nested ? 2 : 1, 0, 50, { isa: 1, reason: 0x8000_0000 + INVALID_STATE, parent });
    }
    if (next() < 0.0006) add(vcpu, 'lost', null, null, 30_000, { value: 1 + Math.floor(next() * 500) });
    add(vcpu, 'entry', 0, nested ? 2 : 1, away, { parent });
  }
  writer.setRun('ticks', String(Math.max(...clocks)));
  writer.finish();
}
