/** What stands before the text of an event: every form that tools print, with what the line says of itself. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ascii } from '../../recorder/import/cursor.js';
import { Prefix } from '../../recorder/import/prefix.js';
import { importBytes, importText } from './import-helpers.js';

interface PrefixCase {
  readonly form: string;
  readonly line: string;
  readonly thread: number | null;
  readonly task: string;
  readonly vm?: number;
  readonly time?: bigint;
}

const PREFIXES: readonly PrefixCase[] = [
  {
    form: 'ftrace, four flags',
    line: '           a.out-20024 [001] d... 2323301.154934: kvm_entry: vcpu 0',
    thread: 20024,
    task: 'a.out',
    time: 2323301154934000n,
  },
  {
    form: 'ftrace, five flags',
    line: '            kvmc-1095    [000] d..1.    61.394526: kvm_entry: vcpu 0, rip 0x10266',
    thread: 1095,
    task: 'kvmc',
    time: 61394526000n,
  },
  {
    form: 'ftrace, seven flags',
    line: '     CPU 0/KVM-16856   [007] .......   380.398695: kvm_entry: vcpu 0',
    thread: 16856,
    task: 'CPU 0/KVM',
    time: 380398695000n,
  },
  {
    form: 'ftrace with the process',
    line: '   CPU 0/KVM-7289    (   7201) [023] d....  2925.640967: kvm_entry: vcpu 0',
    thread: 7289,
    task: 'CPU 0/KVM',
    vm: 7201,
    time: 2925640967000n,
  },
  {
    form: 'task with blanks and dashes',
    line: ' fc_vcpu 0-552219  [040] .... 97836.519114: kvm_entry: vcpu 0',
    thread: 552219,
    task: 'fc_vcpu 0',
    time: 97836519114000n,
  },
  {
    form: 'unknown task',
    line: '<...>-62567 [038] ....  2825.959082: kvm_entry: vcpu 1',
    thread: 62567,
    task: '<...>',
    time: 2825959082000n,
  },
  {
    form: 'trace-cmd',
    line: '            kvmc-174   [000]     2.422519: kvm_entry:             vcpu 0 rip 0x10000',
    thread: 174,
    task: 'kvmc',
    time: 2422519000n,
  },
  {
    form: 'trace-cmd, nanoseconds',
    line: ' qemu-system-x86-310143 [064] 28714.545983123: kvm_entry:            vcpu 0',
    thread: 310143,
    task: 'qemu-system-x86',
    time: 28714545983123n,
  },
  {
    form: 'perf script',
    line: '            kvmc   645 [000]    35.980956:                      kvm:kvm_entry: vcpu 0, rip 0x10000',
    thread: 645,
    task: 'kvmc',
    time: 35980956000n,
  },
  {
    form: 'perf script, process and thread',
    line: 'CPU 1/KVM  900/901  [011] 7.5: kvm:kvm_entry: vcpu 1',
    thread: 901,
    task: 'CPU 1/KVM',
    vm: 900,
    time: 7500000000n,
  },
  {
    form: 'perf script, period',
    line: 'kvmc   645 [000] 1.000001:          1 kvm:kvm_entry: vcpu 0',
    thread: 645,
    task: 'kvmc',
    time: 1000001000n,
  },
  {
    form: 'perf script, no task',
    line: '    [001]   770.850287:                      kvm:kvm_entry: vcpu 0, rip 0x100146',
    thread: null,
    task: '',
    time: 770850287000n,
  },
  {
    form: 'perf-prof',
    line: '2022-04-22 17:39:26.535253            <...> 126953 d... [074] 96822671.266643: kvm:kvm_entry: vcpu 0',
    thread: 126953,
    task: '<...>',
    time: 96822671266643000n,
  },
  { form: 'nothing', line: 'kvm_entry: vcpu 0', thread: null, task: '' },
  {
    form: 'a time alone',
    line: ' 220.696238: kvm_entry: vcpu 0, rip 0x406a89',
    thread: null,
    task: '',
    time: 220696238000n,
  },
  { form: 'a CPU by hand', line: '  CPU 0: kvm_entry: vcpu 0, rip 0xffffffff81000aa0', thread: null, task: '' },
  {
    form: 'trace-cmd report --ts-diff',
    line: '            kvmc-123   [000]     4.427774: (+350)   kvm_entry: vcpu 0 rip 0x10000',
    thread: 123,
    task: 'kvmc',
    time: 4427774000n,
  },
  {
    form: 'trace-cmd report -l',
    line: '    kvmc-123     0d..1.     4.574370: kvm_entry:             vcpu 0 rip 0x10000',
    thread: 123,
    task: 'kvmc',
    time: 4574370000n,
  },
  {
    form: 'trace-cmd report -l -R',
    line: '    kvmc-423     0-0x24     4.574370: kvm_entry:             vcpu_id=0 rip=0x10000',
    thread: 423,
    task: 'kvmc',
    time: 4574370000n,
  },
  // printf of trace_print_lat_context and lat_print_timestamp: "%16s %7d %3d %d %08x %08lx " "[%08llx] %ld.%03ldms (+%ld.%03ldms): "
  {
    form: 'latency format of the kernel with the option verbose',
    line: '       CPU 0/KVM    1234   3 1 00000001 00000002 [5f5e100c] 1234.579ms (+0.012ms): kvm_entry: vcpu 0',
    thread: 1234,
    task: 'CPU 0/KVM',
    time: 1_600_000_012_000n,
  },
  {
    form: 'the same, of a task with numbers in its name',
    line: '     worker 7 12    1234 103 9 0000000a 0000ff02 [12a05f200ab] 1234.579ms (+100.012ms): kvm_entry: vcpu 0',
    thread: 1234,
    task: 'worker 7 12',
    time: 0x12a05f200abn * 1000n,
  },
  {
    form: 'latency format of the kernel',
    line: 'CPU 0/KV-1234    2d..1 23us+: kvm_entry: vcpu 0',
    thread: 1234,
    task: 'CPU 0/KV',
    time: 23000n,
  },
  {
    form: 'dump of a dying kernel',
    line: '[  123.000137] CPU 0/KV-1234   102d..1. 18446744073709551us : kvm_entry: vcpu 0',
    thread: 1234,
    task: 'CPU 0/KV',
    time: BigInt.asIntN(64, 18446744073709551000n),
  },
  {
    form: 'perf script, no CPU',
    line: '            kvmc   645    36.051022:  kvm:kvm_entry: vcpu 0',
    thread: 645,
    task: 'kvmc',
    time: 36051022000n,
  },
  {
    form: 'perf script, task and time',
    line: 'CPU 1/KVM    36.051022:  kvm:kvm_entry: vcpu 0',
    thread: null,
    task: '',
    time: 36051022000n,
  },
  ...[
    '[  123.000137]   ',
    '[  123.000137] [T1234]   ',
    '[Sat Nov 28 20:00:01 2026]   ',
    'Nov  8 20:00:01 myhost kernel: [ 123.000137]   ',
    '2026-11-28T20:00:01.123456+00:00 myhost kernel:   ',
    '2026-11-28 20:00:00 |   ',
    '<4>[  123.000137]   ',
    'kern  :info  : [  123.000137] ',
    'Nov  8 20:00:01 myhost trace-cmd[123]:   ',
    '2026-11-28T20:00:01+0000 myhost my-app[123]:   ',
    '[2026-11-29 08:49:12]   ',
    '00:01:02   ',
    '1700000000.123456   ',
    't.txt:8:   ',
    '|   ',
    '+   ',
    '12:\t  ',
    '     12\t      ',
    'tracer-1  |        ',
    '2026-11-28T20:00:01.1234567Z        ',
    '[pod/tracer-0/tracer]    ',
    'Nov 28 20:00:01      ',
  ].map((log) => ({
    form: `behind ${JSON.stringify(log)}`,
    line: `${log}CPU 0/KVM-1234    [002] d..1.   100.000001: kvm_entry: vcpu 0`,
    thread: 1234,
    task: 'CPU 0/KVM',
    time: 100000001000n,
  })),
  {
    form: 'mail quoting',
    line: '> >   dirty_log_test-29003 [001] 184503.384328: kvm_entry:            vcpu 1',
    thread: 29003,
    task: 'dirty_log_test',
    time: 184503384328000n,
  },
];

describe('prefix of a line', () => {
  for (const { form, line, thread, task, vm, time } of PREFIXES) {
    it(form, () => {
      const { rows, writer, result } = importText(`${line}\n`);
      assert.equal(result.counts.damaged, 0);
      assert.equal(rows.length, 1);
      assert.equal(rows[0]?.time_ns ?? null, time ?? null);
      const lane = JSON.parse(writer.dictionary('vcpu').get(0n)?.says ?? '{}');
      assert.deepEqual([lane.thread, lane.task, lane.vm], [thread, task, vm ?? null]);
    });
  }

  it('knows every event of KVM by its name alone', () => {
    const text =
      'vcpu_match_mmio: gva 0xffffc90000205000 gpa 0xfed000f0 Read GPA\n' +
      '1.5: check_mmio_spte: spte 0xfff8 kvm_gen 5 spte-gen 4 valid 0\n';
    const { rows, result } = importText(text);
    assert.deepEqual([rows.length, result.counts.damaged], [2, 0]);
    assert.equal(rows[0]?.gpa, 0xfed0_00f0n);
    assert.equal(importText(`${text}is_no_event_of_kvm: gva 0x1\n`).result.counts.damaged, 1);
  });

  // print_lat_context and trace_print_time of the kernel: without a decimal point where the clock counts no nanoseconds
  it('takes times without a decimal point for cycles, which a frequency makes nanoseconds', () => {
    const count = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n });
    const heads = fc.constantFrom('t-1 [000] d..1. COUNT: ', 't-1  [000]COUNT: ', 't-1     0d..1.  COUNT: ');
    fc.assert(
      fc.property(count, heads, (cycles, head) => {
        const text = Buffer.from(`${head.replace('COUNT', String(cycles))}kvm_entry: vcpu 0\n`);
        const { rows, result } = importBytes(text);
        assert.deepEqual([rows[0]?.tick, rows[0]?.time_ns], [cycles, null]);
        assert.match(result.notes[0]?.says ?? '', /--tsc-hz/);
        const scaled = importBytes(text, { tscHz: 1e9 });
        assert.deepEqual([scaled.rows[0]?.tick, scaled.rows[0]?.time_ns], [null, BigInt.asIntN(64, cycles)]);
        assert.deepEqual(
          scaled.result.notes.filter(({ says }) => says.includes('cycles')),
          [],
        );
      }),
      { numRuns: 300 },
    );
    const over = importText(`t-1 [000] 1.0: kvm_entry: vcpu 0\nt-1 [000] ${1n << 64n}: kvm_entry: vcpu 0\n`);
    assert.deepEqual([over.rows.length, over.result.counts.damaged], [1, 1]);
  });

  it('takes one time that lost its decimal point, or got one, for damage of that line alone', () => {
    const entry = (time: string): string => `t-1 [000] ${time}: kvm_entry: vcpu 0`;
    for (const [times, damaged] of [
      [['1.5', '1600000', '1.7', '1.8'], 1],
      [['1500000', '1.6', '1.7', '1.8'], 0],
      [['1500000', '1.600000', '1700000', '1800000'], 1],
      [['1.5', '18446744073709551615', '1.7'], 1],
    ] as const) {
      const { rows, result } = importText(times.map((time) => `${entry(time)}\n`).join(''));
      const timed = rows.map(({ time_ns, tick }) => (time_ns ?? tick ?? null) !== null);
      assert.deepEqual(
        timed,
        times.map((_, i) => i !== damaged),
        times.join(' '),
      );
      assert.equal(result.counts.damaged, 1, times.join(' '));
    }
  });

  it('takes no clock of a log, no number of a line and no text of another program for an event', () => {
    for (const line of [
      'Nov 28 20:00:01 myhost app[1234]: job 12: state: done',
      'Nov 28 20:00:01 myhost app: 1.5: state: done',
      '[  123.000137] usb 1: 3.2: kvm: disabled by bios',
      'thread 12 1.5: state: done',
    ]) {
      const { rows, result } = importText(`t-1 [000] 1.0: kvm_entry: vcpu 0\n\n${line}\n`);
      assert.deepEqual([rows.length, result.counts.damaged], [1, 1], line);
    }
  });

  it('takes a line that is cut behind the group of its event for damage', () => {
    for (const group of ['kvm:', 'kvmmmu: ']) {
      const { rows, result } = importText(` qemu-1 [000] 37.08: kvm_fpu: load\n qemu-1 [000] 37.09: ${group}\n`);
      assert.deepEqual([rows.length, result.counts.damaged], [1, 1], group);
    }
    const { rows } = importText(' qemu-1 [000] 37.09: kvm: vcpu 0\n qemu-1 [000] 37.09: kvm_fpu: load\n');
    assert.equal(rows.length, 2, 'with fields it is an event of that name');
  });

  it('keeps every nanosecond of every time', () => {
    const digits = fc.integer({ min: 1, max: 9 });
    fc.assert(
      fc.property(fc.nat(4_000_000_000), fc.nat(999_999_999), digits, (seconds, fraction, places) => {
        const shown = String(fraction).padStart(9, '0').slice(0, places);
        const { rows } = importText(`t-1 [000] ${seconds}.${shown}: kvm_entry: vcpu 0\n`);
        assert.equal(rows[0]?.time_ns, BigInt(seconds) * 1_000_000_000n + BigInt(shown.padEnd(9, '0')));
      }),
      { numRuns: 300 },
    );
  });
});

it('says of a line the same, whatever lines were before it', () => {
  const heads = fc
    .tuple(
      fc.constantFrom('', '  ', '> '),
      fc.constantFrom('kvmc-', 'CPU 0/KVM-', 'a [001] b-', '<...>-', 'x:y ', 'CPU 1/KVM  900/'),
      fc.constantFrom('12', '13', '112'),
      fc.constantFrom(' [000]', ' [001] d..1.', '   [000]  ', ' [012] ....', ' [00', ''),
    )
    .map((parts) => parts.join(''));
  const times = fc.constantFrom(' 1.000001:', ' 1.000002:', '     12.5:', ' 44274241234999:', ' 23us+:', ' 1.5', '');
  const names = fc.constantFrom(
    ' kvm_exit: reason HLT rip 0x1 info 0 0',
    '      kvm:kvm_exit: reason HLT',
    ' kvm_entry:',
    ' kvm_entry: vcpu 0',
    ' kvm:',
    ' kvm:             ',
    ' kvm:            x',
    ' sched:sched_switch: prev',
    ' kvm_exit:x: reason',
    ' (+3) kvm_entry: vcpu 0',
    ' 1 kvm:kvm_entry: vcpu 0',
    ' kvm_fpu:              load',
    ' PERF_RECORD_LOST: lost 1',
    ' kvm_exitt: x y z',
    ' kvm_write_tsc_offset: vcpu=0',
    ' kvm_write_tsc_offset:vcpu=0',
    '',
  );
  // few heads, so that lines share them
  const lines = fc
    .tuple(
      fc.array(heads, { minLength: 1, maxLength: 3 }),
      fc.array(fc.tuple(fc.nat(), times, names), { maxLength: 60 }),
    )
    .map(([some, all]) => all.map(([head, ...parts]) => ascii([some[head % some.length], ...parts].join(''))));
  const said = (prefix: Prefix, line: Uint8Array): unknown => {
    if (!prefix.parse(line, 0, line.length)) return null;
    const { thread, process, cpu, hasTime, taskStart, taskEnd, nameStart, nameEnd, payload, spec } = prefix;
    const time = hasTime ? [prefix.digits, prefix.timeLow, prefix.timeHigh] : null;
    return { thread, process, cpu, time, taskStart, taskEnd, nameStart, nameEnd, payload, spec };
  };
  fc.assert(
    fc.property(lines, (all) => {
      const prefix = new Prefix();
      for (const line of [...all, ...all]) assert.deepEqual(said(prefix, line), said(new Prefix(), line));
    }),
    { numRuns: 400 },
  );
});
