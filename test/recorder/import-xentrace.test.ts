/** Files of xentrace: what becomes of each event, whose it is, in which order, and what the file does not say. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { type Event, type Imported, importBytes, reasons } from './import-helpers.js';
import { entry, exit, high, low, runs, who, window, XEN, type XenRecord } from './xentrace-files.js';

const RIP = 0xffff_ffff_8100_0000n;
const CPUID_EXIT = 0x72;
const HLT_EXIT = 0x78;

/** One CPU on which vCPU 0 of domain 1 runs. */
const ofGuest = (...records: readonly XenRecord[]): Imported => importBytes(window(0, [runs(1, 1, 0), ...records]));

/** What one event behind an exit of SVM became. */
function become(event: number, words: readonly number[]): Event {
  const { events } = ofGuest(exit(2, CPUID_EXIT, RIP), { event, words });
  const { seq: _, vcpu: __, parent, tracepoint, ...rest } = events[2] as Event;
  assert.equal(parent, 1, 'work that serves the exit');
  assert.equal(tracepoint, 1, 'the second name');
  return rest as Event;
}

describe('events of HVM guests', () => {
  const GPA = 0x1_2345_6000n;
  const cases: readonly (readonly [string, number, readonly number[], Event])[] = [
    ['#PF that Xen handles', XEN.PF_XEN, [2, 0x1000], { kind: 'page_fault', error_code: 2, gva: 0x1000 }],
    ['in long mode', XEN.PF_XEN64, [6, low(GPA), high(GPA)], { kind: 'page_fault', error_code: 6, gva: Number(GPA) }],
    [
      '#PF for the guest',
      XEN.PF_INJECT64,
      [7, low(GPA), high(GPA)],
      { kind: 'inject', code: 14, error_code: 7, gva: Number(GPA) },
    ],
    ['#GP for the guest', XEN.INJ_EXC, [13, 0], { kind: 'inject', code: 13, error_code: 0 }],
    ['#UD, which has no error code', XEN.INJ_EXC, [6, 0xffff_ffff], { kind: 'inject', code: 6 }],
    ['an interrupt', XEN.INJ_VIRQ, [0x30, 0], { kind: 'inject', code: 0x30, text: 'IRQ' }],
    ['an interrupt again', XEN.REINJ_VIRQ, [0x30], { kind: 'inject', code: 0x30, text: 'IRQ [reinjected]' }],
    ['port access of old', XEN.IO_READ, [0x3f8, 1], { kind: 'io', code: 0x3f8, size: 1 }],
    ['port write of old', XEN.IO_WRITE, [0x3f8, 1], { kind: 'io', code: 0x3f8, size: 1, flags: 1 }],
    ['port read', XEN.IOPORT_READ, [0x60, 0xfa], { kind: 'io', code: 0x60, value: 0xfa }],
    ['port write', XEN.IOPORT_WRITE, [0x80, 0x11], { kind: 'io', code: 0x80, value: 0x11, flags: 1 }],
    ['port write from memory', XEN.IOPORT_WRITE, [0x80], { kind: 'io', code: 0x80, flags: 1 }],
    ['MMIO read', XEN.MMIO_READ, [0xfee0_0020, 5], { kind: 'mmio', gpa: 0xfee0_0020, value: 5 }],
    ['MMIO write', XEN.MMIO_WRITE, [0xfee0_00b0, 0], { kind: 'mmio', gpa: 0xfee0_00b0, value: 0, flags: 1 }],
    [
      'MMIO write above 4 GiB',
      XEN.MMIO_WRITE64,
      [low(GPA), high(GPA), 1, 2],
      { kind: 'mmio', gpa: Number(GPA), value: 0x2_0000_0001, flags: 1 },
    ],
    ['CR read', XEN.CR_READ64, [3, 0x1000, 0], { kind: 'cr', code: 3, value: 0x1000 }],
    ['CR write', XEN.CR_WRITE64, [0, 0x8005_0033, 0], { kind: 'cr', code: 0, value: 0x8005_0033, flags: 1 }],
    ['CR write of 32 bits', XEN.CR_WRITE, [4, 0x20], { kind: 'cr', code: 4, value: 0x20, flags: 1 }],
    ['CLTS', XEN.CLTS, [], { kind: 'cr', code: 0, flags: 1, text: 'CLTS' }],
    ['LMSW', XEN.LMSW64, [0x11, 0], { kind: 'cr', code: 0, value: 0x11, flags: 1, text: 'LMSW' }],
    ['RDMSR', XEN.MSR_READ, [0x1b, 0xfee0_0d00, 0], { kind: 'msr', code: 0x1b, value: 0xfee0_0d00 }],
    ['WRMSR', XEN.MSR_WRITE, [0xc000_0080, 0xd01, 0], { kind: 'msr', code: 0xc000_0080, value: 0xd01, flags: 1 }],
    [
      'CPUID with its subleaf',
      XEN.CPUID,
      [7, 1, 2, 3, 4, 5],
      { kind: 'cpuid', code: 7, text: 'subleaf=0x1 eax=0x2 ebx=0x3 ecx=0x4 edx=0x5' },
    ],
    ['CPUID of old', XEN.CPUID, [1, 2, 3, 4, 5], { kind: 'cpuid', code: 1, text: 'eax=0x2 ebx=0x3 ecx=0x4 edx=0x5' }],
    ['hypercall', XEN.VMMCALL, [0x20], { kind: 'vmcall', code: 0x20 }],
    ['HLT', XEN.HLT, [1], { kind: 'hlt', text: 'pending=0x1' }],
    [
      'nested page fault',
      XEN.NPF,
      [low(GPA), high(GPA), 0xabc, 0, 0x182, 4],
      { kind: 'page_fault', gpa: Number(GPA), qualification: 0x182, text: 'mfn=0xabc p2mt=0x4' },
    ],
    ['TSC', XEN.RDTSC, [1, 2], { kind: 'other', code: 1, value: 0x2_0000_0001, text: 'RDTSC: tsc=0x200000001' }],
    [
      'INVLPG',
      XEN.INVLPG64,
      [0, 0x1000, 0],
      { kind: 'other', code: 1, gva: 0x1000, text: 'INVLPG: invlpga=0x0 va=0x1000' },
    ],
    ['an exception', XEN.TRAP, [7], { kind: 'other', code: 1, text: 'TRAP: vector=0x7' }],
    ['debug registers', XEN.DR_WRITE, [], { kind: 'other', code: 1, text: 'DR_WRITE:' }],
    [
      'a window',
      XEN.INTR_WINDOW,
      [0x30, 3, 0xffff_ffff],
      { kind: 'other', code: 1, text: 'INTR_WINDOW: vector=0x30 source=0x3 pending=0xffffffff' },
    ],
    [
      'a timer',
      XEN.vlapic_create,
      [1, 0, 2, 0, 0xec],
      { kind: 'timer', text: 'LAPIC_START_TIMER: delta=0x1 period=0x2 irq=236' },
    ],
    // 64-bit argument A0: its two words follow
    [
      'a hypercall of a PV guest',
      XEN.hypercall,
      [0x0020_000c, 7, 8],
      { kind: 'vmcall', code: 12, text: 'op=0x20000c more=0x7,0x8' },
    ],
    ['an event without a name', 0x82fff, [1, 2], { kind: 'other', code: 1, text: 'xen_0x82fff: 0x1,0x2' }],
    ['too few words', XEN.MSR_READ, [1], { kind: 'other', code: 1, text: 'MSR_READ: 0x1' }],
    ['words of a newer Xen', XEN.VMMCALL, [1, 2], { kind: 'vmcall', code: 1, text: 'more=0x2' }],
  ];
  for (const [name, event, words, expected] of cases) it(name, () => assert.deepEqual(become(event, words), expected));
});

describe('exits', () => {
  it('are paired with the next entry of their vCPU, in cycles', () => {
    const { events } = ofGuest(exit(100, HLT_EXIT, RIP), { event: XEN.HLT, words: [0] }, entry(350));
    assert.deepEqual(
      events.map(({ kind, tick, parent, from_level, to_level }) => [kind, tick, parent, from_level, to_level]),
      [
        ['other', 1, undefined, undefined, undefined],
        ['exit', 100, undefined, 1, 0],
        ['hlt', undefined, 1, undefined, undefined],
        ['entry', 350, 1, 0, 1],
      ],
    );
    assert.equal(events[1]?.rip, RIP);
  });

  it('of SVM are told by reasons that VMX does not have, even if they come later', () => {
    const imported = ofGuest(exit(2, 0x40, RIP), entry(3), exit(4, 0x400, RIP), entry(5));
    assert.deepEqual(reasons(imported), { EXCP_DE: 1, NPF: 1 });
  });

  it('of VMX are told by reasons that SVM does not have', () => {
    const imported = ofGuest(exit(2, 28, RIP), entry(3), exit(4, 48, RIP), entry(5), exit(6, 0x8000_0021, RIP));
    assert.deepEqual(reasons(imported), { CR_ACCESS: 1, EPT_VIOLATION: 1, INVALID_STATE: 1 });
    assert.equal(imported.result.counts.failedEntries, 1);
  });

  it('have an event of their own for SVM since Xen 4.19', () => {
    const { events } = ofGuest({ event: XEN.SVM_EXIT64, words: [0x10, 0, 0], tsc: 2 });
    assert.deepEqual([events[1]?.kind, events[1]?.isa, events[1]?.reason], ['exit', 2, 0x10]);
  });

  it('of which neither is known have numbers, and that is said', () => {
    const { events, result } = ofGuest(exit(2, 48, RIP), entry(3));
    assert.deepEqual([events[1]?.isa, events[1]?.reason], [undefined, 48]);
    assert.match(result.notes[0]?.says ?? '', /VMX and SVM both have/);
  });

  it('of nested guests are told from those of their hypervisor', () => {
    const { events } = ofGuest(
      { event: XEN.nVMEXIT64, words: [CPUID_EXIT, low(RIP), high(RIP)], tsc: 2 },
      entry(3),
      exit(4, 0x81, RIP),
      { event: XEN.nVMENTRY, tsc: 5 },
    );
    assert.deepEqual(
      events.slice(1).map(({ kind, from_level, to_level }) => [kind, from_level, to_level]),
      [
        ['exit', 2, 0],
        ['entry', 0, 1],
        ['exit', 1, 0],
        ['entry', 0, 2],
      ],
    );
  });
});

const laneOf = ({ writer }: Imported, event: Event | undefined): string =>
  writer.dictionary('vcpu').get(BigInt(event?.vcpu as number))?.name ?? '';

describe('vCPUs', () => {
  it('are those that the scheduler put on the host CPU, wherever they run', () => {
    const imported = importBytes(
      Buffer.concat([
        window(0, [
          runs(1, 1, 0),
          exit(2, CPUID_EXIT, RIP),
          { event: XEN.running_to_runnable, words: [who(1, 0)], tsc: 3 },
          runs(4, 32767, 0),
        ]),
        window(1, [
          { event: XEN.continue_running, words: [who(2, 1)], tsc: 1 },
          { event: XEN.domain_wake, words: [1, 0], tsc: 4 },
          { event: XEN.switch_infnext, words: [1, 0, 5, 6], tsc: 5 },
          entry(6),
        ]),
      ]),
    );
    const { events } = imported;
    assert.deepEqual(
      events.map((event) => [event.tick, event.kind, laneOf(imported, event)]),
      [
        [1, 'other', 'VM 1, vCPU 0'],
        [1, 'other', 'VM 2, vCPU 1'],
        [2, 'exit', 'VM 1, vCPU 0'],
        [3, 'other', 'VM 1, vCPU 0'],
        [4, 'other', 'VM 32767, vCPU 0, idle'],
        [4, 'other', 'VM 1, vCPU 0'],
        [5, 'other', 'VM 1, vCPU 0'],
        [6, 'entry', 'VM 1, vCPU 0'],
      ],
    );
    assert.equal(events[7]?.parent, 2, 'the entry on another CPU ends the exit');
    assert.equal(imported.result.counts.threads, 3);
  });

  it('are unknown until the scheduler says something, and that is said', () => {
    const imported = importBytes(
      window(3, [exit(1, CPUID_EXIT, RIP), entry(2), runs(3, 1, 0), exit(4, CPUID_EXIT, RIP)]),
    );
    const lanes = imported.events.map((event) => laneOf(imported, event));
    assert.deepEqual(lanes, ['host CPU 3', 'host CPU 3', 'VM 1, vCPU 0', 'VM 1, vCPU 0']);
    assert.match(imported.result.notes[0]?.says ?? '', /^2 events of guests came before the file says who runs/);
  });

  it('are named by the record of what was lost', () => {
    const imported = importBytes(
      window(0, [
        runs(1, 1, 0),
        exit(2, CPUID_EXIT, RIP),
        { event: XEN.lost_records, words: [77, 2 | (1 << 16), 3, 0], tsc: 9 },
        entry(10),
      ]),
    );
    const { events, result } = imported;
    assert.deepEqual(
      events.map((event) => [event.kind, laneOf(imported, event), event.parent]),
      [
        ['other', 'VM 1, vCPU 0', undefined],
        ['exit', 'VM 1, vCPU 0', undefined],
        ['lost', 'host CPU 0', undefined],
        ['entry', 'VM 2, vCPU 1', undefined],
      ],
    );
    assert.deepEqual([events[2]?.value, result.counts.lost, result.counts.gaps], [77, 77, 1]);
  });
});

describe('time', () => {
  it('is cycles, or nanoseconds where the frequency is known', () => {
    const bytes = window(0, [runs(0, 1, 0), exit(3_000_000_000, CPUID_EXIT, RIP)]);
    const rows: unknown[] = [];
    const writer = new StreamWriter((chunk) => {
      for (let i = 0; i < chunk.rows; i++) rows.push([chunk.row(i).tick, chunk.row(i).time_ns]);
    });
    importTrace(memorySource(bytes), () => writer, { tscHz: 3e9 });
    assert.deepEqual(rows.slice(0, 1), [[null, 0n]]);
    const [tick, time] = rows[1] as [unknown, bigint];
    assert.equal(tick, null);
    assert.ok(time === 999_999_999n || time === 1_000_000_000n, String(time));
  });

  it('of records without one is not made up', () => {
    const { events } = ofGuest({ event: XEN.MSR_READ, words: [1, 2, 3] });
    assert.equal(events[1]?.tick, undefined);
  });
});

/** Windows of CPUs as xentrace writes them: what happened until it came by. */
const rounds = fc.array(fc.array(fc.tuple(fc.nat(3), fc.nat(1000)), { maxLength: 12 }), { minLength: 1, maxLength: 8 });

it('records of all CPUs come out in the order of their time', () => {
  fc.assert(
    fc.property(rounds, (all) => {
      let now = 1;
      const windows = all.flatMap((events) => {
        const until = now + 1001;
        const timed = events.map(([cpu, after]) => ({ cpu, tsc: now + after })).sort((a, b) => a.tsc - b.tsc);
        now = until;
        return [0, 1, 2, 3].flatMap((cpu) => {
          const own = timed.filter((each) => each.cpu === cpu);
          return own.length === 0
            ? []
            : [
                window(
                  cpu,
                  own.map(({ tsc }) => runs(tsc, 1, cpu)),
                ),
              ];
        });
      });
      if (windows.length === 0) return;
      const { events, result } = importBytes(Buffer.concat(windows));
      const ticks = events.map(({ tick }) => tick as number);
      assert.deepEqual(
        ticks,
        ticks.toSorted((a, b) => a - b),
      );
      assert.equal(events.length, all.flat().length);
      assert.deepEqual(
        result.notes.filter(({ says }) => says.includes('late')),
        [],
      );
    }),
    { numRuns: 300 },
  );
});
