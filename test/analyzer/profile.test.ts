/** Profiles against a reference that walks rows one by one, against perf's own tables, and against the manuals. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { codeWidth, disassemble } from '../../analyzer/profile/code.js';
import { type Profile, type ProfileOptions, Profiler } from '../../analyzer/profile/profile.js';
import { sortCells, type Times, timesOf } from '../../analyzer/profile/stats.js';
import { WordTable } from '../../analyzer/profile/table.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { fixture, sharedPath } from '../recorder/import-helpers.js';
import { type EventDraft, feedEvents } from './profile-helpers.js';

function profileOf(events: readonly EventDraft[], options?: ProfileOptions): Profile {
  const profiler = new Profiler(options);
  feedEvents(events, (chunk) => profiler.take(chunk));
  return profiler.finish(() => null);
}

function profileText(text: string): Profile {
  const profiler = new Profiler();
  const writer = new StreamWriter((chunk) => profiler.take(chunk));
  importTrace(memorySource(Buffer.from(text)), () => writer);
  return profiler.finish((domain, code) => writer.dictionary(domain).get(code)?.name ?? null);
}

/** Nearest rank, straight from its definition: the smallest value that at least `share` of all are not above. */
const nearestRank = (values: readonly number[], share: number): number =>
  Math.min(...values.filter((value) => values.filter((other) => other <= value).length >= share * values.length));

/** Statistics by their definitions; the standard error as tools/perf/util/stat.c has it (Welford's updates). */
function reference(values: readonly number[]): Times | null {
  if (values.length === 0) return null;
  let [mean, squares] = [0, 0];
  values.forEach((value, i) => {
    const apart = value - mean;
    mean += apart / (i + 1);
    squares += apart * (value - mean);
  });
  const total = values.reduce((sum, value) => sum + value, 0);
  const error = values.length < 2 || mean === 0 ? 0 : Math.sqrt(squares / (values.length - 1) / values.length) / mean;
  return {
    samples: values.length,
    total,
    mean: total / values.length,
    error,
    min: Math.min(...values),
    p50: nearestRank(values, 0.5),
    p90: nearestRank(values, 0.9),
    p99: nearestRank(values, 0.99),
    p999: nearestRank(values, 0.999),
    max: Math.max(...values),
  };
}

function assertTimes(found: Times | null, values: readonly number[]): void {
  const expected = reference(values);
  const error = found?.error ?? 0;
  assert.ok(Math.abs(error - (expected?.error ?? 0)) < 1e-9);
  assert.deepEqual(found, expected === null ? null : { ...expected, error });
}

describe('statistics', () => {
  it('are exact, by nearest rank', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(3), fc.nat(100)), { maxLength: 60 }),
        fc.subarray([0, 1, 2, 3]),
        (all, some) => {
          const [cells, values] = [
            Uint32Array.from(all, ([cell]) => cell),
            Float64Array.from(all, ([, value]) => value),
          ];
          const wanted = all.filter(([cell]) => some.includes(cell)).map(([, value]) => value);
          assertTimes(timesOf(sortCells(cells, values, 4), some), wanted);
        },
      ),
    );
  });

  it('are the same of many values in a few cells, which are not put together', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(10, 1e6, 2 ** 52),
        fc.integer({ min: 5000, max: 9000 }),
        fc.nat(),
        (most, count, seed) => {
          let state = seed;
          const next = (): number => {
            state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
            return state / 2 ** 32;
          };
          const values = Float64Array.from({ length: count }, () => Math.floor(next() ** 4 * most));
          const cells = Uint32Array.from({ length: count }, () => Math.floor(next() * 3));
          const times = timesOf(sortCells(cells, values, 3), [0, 1, 2]);
          const one = timesOf(sortCells(new Uint32Array(count), values, 1), [0]);
          const { total, mean, error, ...exact } = times ?? assert.fail();
          assert.deepEqual(exact, (({ total: _t, mean: _m, error: _e, ...rest }) => rest)(one ?? assert.fail()));
          assert.ok(
            Math.abs(total / (one?.total ?? 1) - 1) < 1e-9 && Math.abs(error - (one?.error ?? 0)) < 1e-9 && mean > 0,
          );
          const ascending = values.sort();
          for (const [name, share] of [
            ['p50', 0.5],
            ['p999', 0.999],
          ] as const) {
            assert.equal(times?.[name], ascending[Math.ceil(share * count) - 1]);
          }
        },
      ),
      { numRuns: 20 },
    );
  });
});

describe('table of words', () => {
  it('gives equal keys equal indices, and others others', () => {
    const word = fc.oneof(fc.nat(3), fc.constantFrom(0xffff_ffff, 0x8000_0000));
    fc.assert(
      fc.property(fc.array(fc.tuple(word, word, word), { maxLength: 2000 }), (keys) => {
        const table = new WordTable();
        const seen = new Map<string, number>();
        for (const [a, b, c] of keys) {
          const index = table.index(a, b, c);
          const id = `${a} ${b} ${c}`;
          assert.equal(index, seen.get(id) ?? seen.size);
          seen.set(id, index);
          assert.equal(table.find(a, b, c), index);
        }
        assert.equal(table.size, seen.size);
      }),
      { numRuns: 30 },
    );
  });

  it('grows', () => {
    const table = new WordTable();
    for (let i = 0; i < 20_000; i++) assert.equal(table.index(i & 7, i, i >>> 3), i);
    for (let i = 0; i < 20_000; i++) assert.equal(table.index(i & 7, i, i >>> 3), i);
  });
});

/** Pairs exits with entries and adds up, one row after the other. */
function walked(events: readonly EventDraft[], clock: 'tick' | 'time_ns') {
  const open = new Map<unknown, { level: unknown; reason: unknown; at: number }>();
  const groups = new Map<string, { count: number; times: number[] }>();
  for (const event of events) {
    if (event.kind === 'exit') {
      const id = `${event.from_level} ${event.reason}`;
      const group = groups.get(id) ?? { count: 0, times: [] };
      group.count += 1;
      groups.set(id, group);
      open.set(event.vcpu, { level: event.from_level, reason: event.reason, at: Number(event[clock]) });
    } else if (event.kind === 'entry') {
      const exit = open.get(event.vcpu);
      if (exit !== undefined) groups.get(`${exit.level} ${exit.reason}`)?.times.push(Number(event[clock]) - exit.at);
      open.delete(event.vcpu);
    } else if (event.kind === 'lost') open.clear();
  }
  return groups;
}

describe('profile', () => {
  for (const clock of ['tick', 'time_ns'] as const) {
    it(`adds up as a reference does, in ${clock === 'tick' ? 'ticks' : 'nanoseconds'}`, () => {
      const start = clock === 'tick' ? 0n : 1n << 61n; // host times pass 2^53
      const event = fc.record({
        kind: fc.constantFrom('exit', 'entry', 'exit', 'entry', 'msr', 'lost'),
        vcpu: fc.nat(2),
        reason: fc.nat(4),
        from_level: fc.nat({ max: 2 }),
        step: fc.nat(10_000),
      });
      fc.assert(
        fc.property(fc.array(event, { maxLength: 400 }), (drafts) => {
          let now = start;
          const events = drafts.map(({ kind, vcpu, reason, from_level, step }): EventDraft => {
            now += BigInt(step);
            const common = { vcpu, isa: 1, [clock]: now };
            return kind === 'exit'
              ? { kind, ...common, reason, from_level }
              : { kind: kind as EventDraft['kind'], ...common };
          });
          const shifted = events.map(
            (each) => ({ ...each, [clock]: BigInt(each[clock] as bigint) - start }) as EventDraft,
          );
          const expected = walked(shifted, clock);
          const profile = profileOf(events);
          assert.equal(profile.rows.length, expected.size);
          assert.equal(profile.exits, events.filter(({ kind }) => kind === 'exit').length);
          for (const row of profile.rows) {
            const group = expected.get(`${row.level} ${row.code}`);
            assert.equal(row.count, group?.count);
            assertTimes(row.times, group?.times ?? []);
            assert.equal(
              row.keys.reduce((sum, key) => sum + key.count, 0),
              row.count,
            );
          }
          if (profile.exits > 0)
            assert.ok(Math.abs(profile.rows.reduce((sum, { share }) => sum + share, 0) - 1) < 1e-9);
        }),
        { numRuns: 150 },
      );
    });
  }

  it('tells lanes apart where asked', () => {
    const events: EventDraft[] = [0, 1, 1].map((vcpu) => ({ kind: 'exit', vcpu, isa: 1, reason: 10, from_level: 1 }));
    assert.deepEqual(
      profileOf(events, { by: 'lane' }).rows.map(({ lane, count }) => [lane, count]),
      [
        [1, 2],
        [0, 1],
      ],
    );
    assert.deepEqual(
      profileOf(events).rows.map(({ level, count }) => [level, count]),
      [[1, 3]],
    );
  });

  it('keeps failed entries apart from exits of the same reason', () => {
    const rows = profileOf([
      { kind: 'entry_failed', isa: 1, reason: 0x8000_0021, from_level: 1 },
      { kind: 'exit', isa: 1, reason: 12, from_level: 1 },
    ]).rows;
    assert.deepEqual(rows.map(({ reason, failed }) => [reason, failed]).sort(), [
      ['HLT', false],
      ['INVALID_STATE', true],
    ]);
  });

  // Intel SDM volume 3C, "Format of Exit Reason": bits 15:0 are the reason, bit 26 a bus lock, bit 27 enclave mode
  it('counts exits of VMX by their basic reason, and those of SVM by all of their code', () => {
    const of = (isa: number, ...reasons: readonly number[]): (string | number)[][] =>
      profileOf(reasons.map((reason) => ({ kind: 'exit', isa, reason, from_level: 1 }))).rows.map(
        ({ reason, code, count }) => [reason, Number(code), count],
      );
    assert.deepEqual(of(1, 0x30, 0x400_0030, 0x800_0030), [['EPT_VIOLATION', 0x30, 3]]);
    assert.deepEqual(of(2, 0x30, 0x400_0030).length, 2);
  });

  it('counts failed entries among the exits, and nested ones that were refused apart from them', () => {
    const answer = profileOf([
      { kind: 'entry', vcpu: 0 },
      { kind: 'entry_failed', isa: 1, reason: 0x8000_0021, from_level: 1 },
      { kind: 'exit', isa: 1, reason: 24, from_level: 1, vcpu: 1 },
      { kind: 'entry_failed', tracepoint: 0, vcpu: 1 },
      { kind: 'entry', vcpu: 1 },
    ]);
    const { exits, failed, entries, refused } = answer;
    assert.deepEqual({ exits, failed, entries, refused }, { exits: 2, failed: 1, entries: 2, refused: 1 });
  });

  it('names a reason by the architecture of the event', () => {
    const named = (isa: number | null, reason: number | bigint): string | undefined =>
      profileOf([{ kind: 'exit', isa, reason, from_level: 1 }]).rows[0]?.reason;
    assert.equal(named(1, 0x40), 'XRSTORS');
    assert.equal(named(2, 0x40), 'EXCP_DE');
    assert.equal(named(2, 0xffff_ffff_ffff_ffffn), 'INVALID');
    assert.equal(named(null, 0x40), '0x40');
    assert.equal(named(1, 0xfff), '0xfff');
  });
});

/** Exit, what it is about by the manual's tables, and the work that says it where the exit does not. */
const KEYS: readonly (readonly [name: string, exit: Partial<EventDraft>, work: EventDraft | null, label: string])[] = [
  // Intel SDM volume 3C, "Exit Qualification for I/O Instructions": bits 2:0 size - 1, bit 3 IN, bits 31:16 port
  ['VMX OUT', { isa: 1, reason: 30, qualification: 0x3f8_0000 }, null, 'port 0x3f8 out'],
  ['VMX IN', { isa: 1, reason: 30, qualification: 0x3fd_0008 }, null, 'port 0x3fd in'],
  // "Exit Qualification for Control-Register Accesses": bits 3:0 register, bits 5:4 access
  ['VMX MOV to CR4', { isa: 1, reason: 28, qualification: 0x304 }, null, 'CR4 write'],
  ['VMX MOV from CR8', { isa: 1, reason: 28, qualification: 0x18 }, null, 'CR8 read'],
  ['VMX CLTS', { isa: 1, reason: 28, qualification: 0x20 }, null, 'CR0 write'],
  // "Exit Qualification for MOV DR": bits 2:0 register, bit 4 from DR
  ['VMX MOV to DR7', { isa: 1, reason: 29, qualification: 0x7 }, null, 'DR7 write'],
  ['VMX exception', { isa: 1, reason: 0, intr_info: 0x8000_0306 }, null, 'vector 6'],
  ['VMX EPT violation', { isa: 1, reason: 48, gpa: 0x1234_5678 }, null, 'page 0x12345000'],
  [
    'VMX EPT violation by its page fault',
    { isa: 1, reason: 48 },
    { kind: 'page_fault', gpa: 0xf_1234_5678 },
    'page 0xf12345000',
  ],
  ['VMX RDMSR', { isa: 1, reason: 31 }, { kind: 'msr', code: 0xc000_0080, flags: 0 }, 'MSR 0xc0000080 read'],
  ['VMX WRMSR by its code', { isa: 1, reason: 32, code: 0x8b }, null, 'MSR 0x8b write'],
  ['VMX CPUID', { isa: 1, reason: 10 }, { kind: 'cpuid', code: 0x4000_0000 }, 'leaf 0x40000000'],
  ['VMX VMCALL', { isa: 1, reason: 18, code: 0xffff_ffff_ffff_fff0n }, null, 'call 0xfffffffffffffff0'],
  ['VMX HLT', { isa: 1, reason: 12 }, null, ''],
  // AMD64 APM volume 2, "IOIO Intercepts": EXITINFO1 bit 0 IN, bits 31:16 port
  ['SVM IN', { isa: 2, reason: 0x7b, qualification: 0x3fd_0011 }, null, 'port 0x3fd in'],
  ['SVM WRMSR', { isa: 2, reason: 0x7c, qualification: 1 }, { kind: 'msr', code: 0x8b, flags: 1 }, 'MSR 0x8b write'],
  ['SVM nested page fault', { isa: 2, reason: 0x400, info2: 0xd000_1004 }, null, 'page 0xd0001000'],
  ['SVM VMMCALL', { isa: 2, reason: 0x81 }, { kind: 'vmcall', code: 1 }, 'call 0x1'],
];

describe('what an exit is about', () => {
  for (const [name, exit, work, label] of KEYS) {
    it(name, () => {
      const events: EventDraft[] = [
        { kind: 'exit', from_level: 1, ...exit },
        ...(work === null ? [] : [work]),
        { kind: 'entry' },
      ];
      assert.deepEqual(
        profileOf(events).rows[0]?.keys.map((key) => key.label),
        [label],
      );
    });
  }

  const ports = [sharedPath('kvm/svm/svm_basic.report.txt'), sharedPath('kvm/svm/svm_basic_pk.report_ioport.txt')];
  it('agrees with the table of ports of perf kvm stat', {
    skip: ports.includes(null) && 'the shared collection of real data is not here',
  }, () => {
    const [trace = '', report = ''] = ports.map((path) => readFileSync(path ?? '', 'utf8'));
    const expected = [...report.matchAll(/(0x[0-9a-f]+):P(OUT|IN)\s+(\d+)/g)].map(([, port, way, count]) => {
      return [`port ${port} ${way?.toLowerCase()}`, Number(count)];
    });
    assert.ok(expected.length > 4);
    const row = profileText(trace).rows.find(({ reason }) => reason === 'IOIO');
    const ours = new Map(row?.keys.map(({ label, times }) => [label, times?.samples]));
    for (const [label, count] of expected) assert.equal(ours.get(String(label)), count, String(label));
  });
});

describe('hottest instructions', () => {
  it('are those that exited most, with the instruction where its bytes are known', () => {
    const profile = profileText(fixture('svm-nested.report.txt'));
    const [first] = profile.rips;
    assert.deepEqual([first?.rip, first?.count, first?.reason], [0x107d9n, 19, 'VMRUN']);
    assert.equal(first?.instruction, 'vmrun rax'); // 0f 01 d8, which the recording holds for this address
  });

  it('keep all 64 bits of an address', () => {
    const rips = [0xffff_ffff_81c0_1f58n, 0xffff_ffff_81c0_1f59n];
    const events = rips.map((rip): EventDraft => ({ kind: 'exit', isa: 1, reason: 12, rip, from_level: 1 }));
    assert.deepEqual(
      profileOf(events)
        .rips.map(({ rip }) => rip)
        .sort(),
      rips,
    );
  });

  it('decodes in the width that the emulator names', () => {
    const bytes = Uint8Array.of(0x67, 0x89, 0x04, 0x95, 0, 0, 0, 0xd0);
    assert.equal(disassemble(Uint8Array.of(0x0f, 0xa2), 0n, 64), 'cpuid');
    assert.equal(disassemble(Uint8Array.of(0x0f), 0n, 64), null);
    assert.match(disassemble(bytes, 0n, 64) ?? '', /edx\*4/);
    assert.deepEqual(['(prot64)', '(prot32)', '(prot16)', '(real) failed', null].map(codeWidth), [64, 32, 16, 16, 64]);
  });
});
