/** Times of a text as a whole: differences, times that lost a digit, and what is decided while a text still grows. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { importTrace } from '../../recorder/import/import.js';
import type { ByteSource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { fixturePath, type Imported, importBytes, importText } from './import-helpers.js';

const times = ({ events }: Imported): unknown[] => events.map(({ time_ns }) => time_ns ?? null);
const TEXTS = ['entry: vcpu 0', 'exit: vcpu 0 reason npf rip 0x10000'];
const lines = (...stamps: readonly string[]): string =>
  stamps.map((stamp, i) => `kvmc 866 [000] ${stamp}: kvm:kvm_${TEXTS[i % 2]}\n`).join('');
const says = ({ result }: Imported): string => result.notes.map((note) => note.says).join('\n');

const skip = spawnSync('perf', ['--version']).error === undefined ? false : 'no perf';
const perf = (...options: readonly string[]): Imported => {
  const file = fixturePath('svm-exit-entry.zstd.perf.data');
  return importBytes(execFileSync('perf', ['script', '--ns', '-i', file, ...options], { stdio: 'pipe' }));
};

describe('perf script --deltatime', () => {
  // what perf script 6.1 prints of svm-kvm-stat.perf.data, with --reltime and with --deltatime
  const DELTAS = ['0.000000000', '0.000174381', '0.000136795', '0.000032368', '0.000017577', '0.000025638'];
  const SUMS = [0, 174381, 311176, 343544, 361121, 386759];

  it('gives the times that perf script --reltime prints', { skip }, () => {
    const sums = perf('--deltatime');
    assert.deepEqual(times(sums), times(perf('--reltime')));
    assert.match(says(sums), /perf script --deltatime/);
    const cut = perf('--deltatime').events.length;
    assert.equal(perf().events.length, cut);
    assert.doesNotMatch(says(perf('--reltime')) + says(perf()), /deltatime/);
  });

  it('is told where most differences are zero', () => {
    const stamps = Array.from({ length: 40 }, (_, i) => (i % 8 === 7 ? '0.000003' : '0.000000'));
    assert.deepEqual(times(importText(lines(...stamps))).at(-1), 15_000);
  });

  it('is not told of threads that stand one behind the other, each with times that rise', () => {
    const of = (thread: number): string =>
      Array.from({ length: 10 }, (_, i) => `kvmc ${thread} [000] 0.00000${i}: kvm:kvm_${TEXTS[i % 2]}\n`).join('');
    const imported = importText(of(866) + of(867));
    assert.deepEqual(times(imported).slice(8, 12), [8000, 9000, 0, 1000]);
    assert.match(says(imported), /^9 events are older than one before$/m);
  });

  it('adds differences up', () => {
    assert.deepEqual(times(importText(lines(...DELTAS))), SUMS);
    assert.doesNotMatch(says(importText(lines(...DELTAS))), /microsecond/);
  });

  it('says that differences cut to a microsecond fall behind', () => {
    const cut = importText(lines(...DELTAS.map((delta) => delta.slice(0, -3))));
    assert.deepEqual(times(cut), [0, 174000, 310000, 342000, 359000, 384000]);
    assert.match(says(cut), /microsecond.*--ns/);
  });

  it('knows them without the first, and counts a line once that was broken', () => {
    const many = Array.from({ length: 12 }, (_, i) => `0.0000${i % 2 === 0 ? 12 : 31 + i}`);
    const sum = (to: number) => many.slice(0, to).reduce((all, each) => all + Math.round(Number(each) * 1e9), 0);
    assert.deepEqual(
      times(importText(lines(...many))),
      many.map((_, i) => sum(i + 1)),
    );
    const broken = lines(...DELTAS).replace('rip 0x10000\n', 'rip 0x10000 info1 0x1\n info2 0x3\n');
    assert.deepEqual(times(importText(broken)), SUMS);
  });

  it('passes the time of what perf prints beside the events', () => {
    const between = lines(...DELTAS)
      .split('\n')
      .map((line, i) => (i === 2 ? ` kvmc 866 [000] 0.000000500: PERF_RECORD_COMM: kvmc:866/866\n${line}` : line))
      .join('\n');
    assert.deepEqual(
      times(importText(between)),
      SUMS.map((time, i) => time + (i < 2 ? 0 : 500)),
    );
  });

  it('takes no times for differences that fall now and then, or are turned round', () => {
    const rising = Array.from({ length: 20 }, (_, i) => `0.0000${10 + i}`);
    for (const stamps of [rising, [...rising, ...rising], rising.toReversed()])
      assert.doesNotMatch(says(importText(lines(...stamps))), /deltatime/);
  });
});

describe('perf script without times', () => {
  const event = 'kvm:kvm_exit: vcpu 0 reason npf rip 0x10000';
  const lane = ({ writer }: Imported): unknown => JSON.parse(writer.dictionary('vcpu').get(0n)?.says ?? '{}');

  // as perf script 6.1 prints them with -F comm,tid,event,trace and other fields
  for (const [head, thread, task, vm] of [
    ['            kvmc  1413 ', 1413, 'kvmc', null],
    ['            kvmc  1413 [000] ', 1413, 'kvmc', null],
    ['            kvmc  1413/1414  [000] ', 1414, 'kvmc', 1413],
    ['            kvmc  1413          1 ', 1413, 'kvmc', null],
    ['            kvmc  1413 [000]          1 ', 1413, 'kvmc', null],
    ['            kvmc  1413 K     ', 1413, 'kvmc', null],
    [' 1413 ', 1413, '', null],
    ['            kvmc ', null, 'kvmc', null],
  ] as const) {
    it(`is read in order: ${JSON.stringify(head)}`, () => {
      const read = importText(`${head}${event}\n${head}kvm:kvm_entry: vcpu 0, rip 0x10000\n`);
      assert.deepEqual(times(read), [null, null]);
      assert.deepEqual([read.events[0]?.reason, read.events[1]?.parent], [0x400, 0]);
      if (thread !== null) assert.deepEqual(lane(read), { vm, thread, vcpu: 0, cpu: null, task });
    });
  }

  it('says what it says with times, but for them', { skip }, () => {
    const untimed = perf('-F', 'comm,tid,cpu,event,trace');
    const rest = ({ events }: Imported) => events.map(({ time_ns: _, ...event }) => event);
    assert.deepEqual(rest(untimed), rest(perf()));
  });
});

describe('a time that lost a digit', () => {
  it('is damage of its line, and no time', () => {
    const { result, events } = importText(lines('1234.567890', '1234.56789', '1234.567892', '1234.567893'));
    assert.deepEqual(
      events.map(({ time_ns }) => time_ns ?? null),
      [1234567890000, null, 1234567892000, 1234567893000],
    );
    assert.equal(result.counts.damaged, 1);
    assert.equal(result.notes[0]?.line, 2);
  });

  it('is none where all have as many, or the text is of two tools', () => {
    for (const stamps of [
      ['1.123', '1.124', '1.125'],
      ['1.12345', '1.2', '1.12345'],
      ['1.123456', '1.123457000', '1.123458'],
    ])
      assert.equal(importText(lines(...stamps)).result.counts.damaged, 0);
  });
});

/** A source that gives a line at a time, and says how many it has given. */
function dribble(text: string): { readonly source: ByteSource; given: number } {
  let rest = Buffer.from(text);
  const pipe = { source: { name: 'pipe', size: 0, read, readAt: null, close() {} }, given: 0 };
  function read(target: Uint8Array, at: number): number {
    const part = rest.subarray(0, Math.min(rest.indexOf('\n') + 1, target.length - at));
    target.set(part, at);
    rest = rest.subarray(part.length);
    if (part.at(-1) === 0x0a) pipe.given += 1;
    return part.length;
  }
  return pipe;
}

describe('times of a text that still grows', () => {
  it('are told by more lines than the first, and by few', () => {
    const text = `# tracer: nop\n${lines('1234567', ...Array.from({ length: 40 }, (_, i) => `1.2345${10 + i}`))}`;
    const pipe = dribble(text);
    let [openedAt, ticks, times] = [0, 0, 0];
    const writer = new StreamWriter((chunk) => {
      for (let i = 0; i < chunk.rows; i++) {
        ticks += chunk.row(i).tick === null ? 0 : 1;
        times += chunk.row(i).time_ns === null ? 0 : 1;
      }
    });
    const open = (): StreamWriter => {
      openedAt = pipe.given;
      return writer;
    };
    const { counts } = importTrace(pipe.source, open, { live: true });
    assert.deepEqual({ ticks, times, damaged: counts.damaged }, { ticks: 0, times: 40, damaged: 1 });
    assert.ok(openedAt <= 20, `waits for ${openedAt} lines`);
    const clear = dribble(lines('1.234567', '1.234568', '1.234569', '1.234570', '1.234571'));
    const openClear = (): StreamWriter => {
      openedAt = clear.given;
      return new StreamWriter(() => {});
    };
    importTrace(clear.source, openClear, { live: true });
    assert.ok(openedAt <= 4, `waits for ${openedAt} lines`);
  });
});

describe('the latency format of ftrace with the option verbose', () => {
  // lat_print_timestamp of kernel/trace/trace_output.c, with TRACE_FILE_TIME_IN_NS and without
  const lines = (stamp: (i: number) => string): string =>
    Array.from({ length: 8 }, (_, i) => {
      const event = i % 2 === 0 ? 'kvm_entry: vcpu 0, rip 0xfff0' : 'kvm_exit: reason HLT rip 0xfff0 info 0 0';
      return `            qemu    1234   3 1 00000001 0000000${i} ${stamp(i)}: ${event}\n`;
    }).join('');
  const of = (text: string) => importText(`# nop latency trace v1.1.5 on 6.1.0\n${text}`);

  it('has the times of its clock, not those since the trace began', () => {
    const { result, rows } = of(lines((i) => `[${(0x5f5e_1000 + i).toString(16)}] ${i}.500ms (+0.001ms)`));
    assert.deepEqual([result.counts.exits, result.counts.damaged], [4, 0]);
    assert.deepEqual(
      rows.map(({ time_ns }) => time_ns),
      Array.from({ length: 8 }, (_, i) => BigInt(0x5f5e_1000 + i) * 1000n),
    );
  });
  it('has counts where the clock counts no nanoseconds', () => {
    const { rows } = of(lines((i) => `[${(0x5f5e_1000 + i).toString(16).padStart(16, '0')}] ${i} (+1)`));
    assert.deepEqual(
      rows.map(({ tick, time_ns }) => [tick, time_ns]),
      Array.from({ length: 8 }, (_, i) => [BigInt(0x5f5e_1000 + i), null]),
    );
  });
  it('is no event where its head is not whole', () => {
    const text = lines((i) => `[${(0x5f5e_1000 + i).toString(16)}] ${i}.500ms (+0.001ms)`);
    const { result } = of(text.replace('00000001 00000003 ', '00000003 '));
    assert.deepEqual([result.counts.exits, result.counts.damaged], [3, 1]);
  });
});

describe('times of day', () => {
  // lines of the commit that added the field, "perf script: Add 'tod' field to display time of day", with events of KVM
  const DAY = '2020-07-13 18:26:55.620971';
  for (const [head, told] of [
    [`perf 261340 ${DAY}`, true],
    [`perf 261340 [000] ${DAY} 152919.481538:`, true],
    [`perf 261340 ${DAY}621 152919.481538922:`, true],
    // -F without cpu, pid or comm, and with pid beside tid ("%7d/%-7d ")
    [`perf ${DAY}`, true],
    [`CPU 0/KVM ${DAY} 152919.481538:`, true],
    [DAY, true],
    [`${DAY} 152919.481538:          1`, true],
    [`perf  261340/261341  ${DAY}`, true],
    ['perf 261340 [000] 152919.481538:', false],
    [`${DAY} perf 261340 d... [000] 152919.481538:`, false], // perf-prof
  ] as const) {
    it(`${head}: ${told ? 'told' : 'nothing to tell'}`, () => {
      const { result } = importText(`${head}          kvm:kvm_entry: vcpu 0\n`.repeat(2));
      const notes = result.notes.filter(({ says }) => /-F -tod,\+time/.test(says));
      assert.equal(notes.length, told ? 1 : 0);
    });
  }
});
