/** Forms and damage of binary recordings, on small files cut from real ones. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { deflateSync } from 'node:zlib';
import { INFLATE } from '../../recorder/import/binary/compression.js';
import { parseFields, parseFormat } from '../../recorder/import/binary/formats.js';
import { readAttribute } from '../../recorder/import/binary/perf-attr.js';
import { bytesInMemory, Scanner } from '../../recorder/import/binary/scanner.js';
import { ImportError } from '../../recorder/import/errors.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource, openSource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { fixturePath, type Imported, importBytes, importText } from './import-helpers.js';
import { asPipe, asPlain } from './perf-files.js';
import { asVersion6, asVersion7, bigEndian } from './trace-dat-files.js';

const bytesOf = (name: string): Buffer => readFileSync(fixturePath(name));
const TWO = bytesOf('svm-two-vcpus.trace.dat');
const NESTED = bytesOf('svm-nested.trace.dat');
const PERF = bytesOf('svm-exit-entry.zstd.perf.data');

/** The formats in a pipe of perf: their record, and the block behind it. */
function tracingData(pipe: Buffer): readonly [number, number] {
  for (let at = 16; ; at += pipe.readUInt16LE(at + 6)) {
    if (pipe.readUInt32LE(at) === 66) return [at, at + 12 + ((pipe.readUInt32LE(at + 8) + 7) & ~7)];
  }
}

/** Rows without their lane's number and the number of their event's name. */
const same = ({ events, result }: Imported): unknown => [events, result.counts];

describe('forms of trace.dat', () => {
  const version7 = importBytes(TWO);

  it('version 6 says what version 7 said', () => {
    assert.deepEqual(same(importBytes(asVersion6(TWO))), same(version7));
  });

  for (const packed of [true, false]) {
    it(`version 7 ${packed ? 'packed by zlib' : 'without compression'} says what version 7 packed by zstd said`, () => {
      assert.deepEqual(same(importBytes(asVersion7(TWO, packed))), same(version7));
    });
  }

  it('big-endian pages say what little-endian ones said', () => {
    assert.deepEqual(same(importBytes(asVersion6(TWO, { reorder: bigEndian }))), same(version7));
  });

  it('a pipe says what the file said', () => {
    const writer = new StreamWriter(() => {});
    const source = memorySource(TWO);
    const { counts } = importTrace({ ...source, size: 0, readAt: null }, () => writer);
    assert.deepEqual(counts, version7.result.counts);
  });

  it('repeated pages are one trace in the order of time', () => {
    const { events, result } = importBytes(asVersion6(TWO, { copies: 3 }));
    assert.equal(result.counts.exits, 3 * version7.result.counts.exits);
    events.forEach(({ time_ns }, i) => {
      if (i > 0) assert.ok(Number(time_ns) >= Number(events[i - 1]?.time_ns));
    });
  });

  it('zlib sections are read by their announced size', () => {
    const text = Buffer.from('pages of a ring buffer '.repeat(50));
    const target = new Uint8Array(text.length);
    assert.equal(INFLATE.get('zlib')?.(deflateSync(text), target), null);
    assert.deepEqual(Buffer.from(target), text);
    assert.match(INFLATE.get('zlib')?.(deflateSync(text), new Uint8Array(10)) ?? '', /./);
    assert.match(INFLATE.get('zlib')?.(deflateSync(text), new Uint8Array(9999)) ?? '', /announced/);
  });

  it('text of a latency tracer is refused, and what to do is said', () => {
    const file = Buffer.from(asVersion6(NESTED));
    file.write('latency  \0', file.indexOf('flyrecord\0'), 'latin1');
    assert.throws(() => importBytes(file), { code: 'UNSUPPORTED', advice: /trace-cmd report/ });
  });

  it('an entry without an exit is told of', () => {
    const { result } = importBytes(bytesOf('vmx-vmfail.trace.dat'));
    assert.ok(result.notes.some(({ says }) => says.includes('KVM_EXIT_FAIL_ENTRY')));
    assert.equal(importBytes(bytesOf('vmx-failed-entry.trace.dat')).result.counts.failedEntries, 1);
  });
});

describe('forms of perf.data', () => {
  const file = importBytes(PERF);

  it('pipe mode says what file mode said', () => {
    assert.deepEqual(same(importBytes(asPipe(PERF))), same(file));
    assert.deepEqual(same(importBytes(asPipe(asPlain(PERF)))), same(file));
  });

  // perf_event.h: perf gives both as -1 where the kernel does not know them
  it('samples of no thread and no CPU are of a lane that names neither, each of them', () => {
    const plain = asPlain(PERF);
    const number = (at: number): number => Number(plain.readBigUInt64LE(at));
    const attribute = new Scanner(bytesInMemory(plain, 'plain'), number(24), plain.length, true);
    const { tid, cpu } = readAttribute(attribute, number(16) - 16).layout;
    const [from, size] = [number(40), number(48)];
    for (let at = from; at < from + size; at += plain.readUInt16LE(at + 6)) {
      if (plain.readUInt32LE(at) !== 9) continue;
      for (const word of [tid, tid + 4, cpu]) plain.writeInt32LE(-1, at + word);
    }
    const { events, writer, result } = importBytes(plain);
    assert.equal(result.counts.events, file.result.counts.events);
    const lane = JSON.stringify({ vm: null, thread: null, vcpu: 0, cpu: null, task: '' });
    const lanes = [...writer.dictionary('vcpu').values()];
    assert.deepEqual([events.length, lanes.map(({ says }) => says)], [file.events.length, [lane]]);
  });

  it('the events of perf kvm stat record', () => {
    // as many as perf script 6.1 prints of the same file
    const { counts, stopped } = importBytes(bytesOf('svm-kvm-stat.perf.data')).result;
    assert.deepEqual([counts.exits, counts.entries, counts.events, stopped], [34, 35, 70, null]);
  });

  it('a pipe is read without asking for its size', () => {
    const source = memorySource(asPipe(PERF));
    const trickle = {
      ...source,
      size: 0,
      readAt: null,
      read: (target: Uint8Array, at: number) => source.read(target.subarray(0, at + 100), at),
    };
    assert.deepEqual(importTrace(trickle, () => new StreamWriter(() => {})).counts, file.result.counts);
  });

  it('a record of no size ends reading, and what came before is kept', () => {
    const pipe = asPipe(PERF);
    const { result } = importBytes(Buffer.concat([pipe, Buffer.alloc(64)]));
    assert.equal(result.stopped?.code, 'CORRUPT');
    assert.match(result.stopped?.where ?? '', new RegExp(`offset ${pipe.length}\\)`));
    assert.deepEqual(result.counts.events, file.result.counts.events);
  });
});

describe('damage', () => {
  it('a trace.dat that ends early keeps what it has and says where it ends', () => {
    const whole = asVersion6(TWO);
    const { counts } = importBytes(whole).result;
    const cut = importBytes(whole.subarray(0, whole.length - 3 * 4096)).result;
    assert.equal(cut.stopped?.code, 'TRUNCATED');
    assert.match(cut.stopped?.where ?? '', new RegExp(`offset ${whole.length - 3 * 4096}\\)`));
    assert.ok(cut.counts.events > 0 && cut.counts.events < counts.events);
  });

  it('a page that contradicts itself costs that page and no other', () => {
    const file = Buffer.from(asVersion6(TWO));
    const { counts } = importBytes(file).result;
    file.writeUInt32LE(0x7ff_ffff, file.length - 2 * 4096 + 8);
    const { result } = importBytes(file);
    assert.equal(result.stopped?.code, 'CORRUPT');
    assert.equal(result.counts.damaged, 1);
    assert.ok(result.counts.events > counts.events - 200 && result.counts.events < counts.events);
  });

  // ring_buffer.c stamps a page as its first record is written; trace-cmd fills a recording up with zeros at its end alone
  it('a page of zeros before others is told with its place, and one at the end of its CPU is the end', () => {
    const whole = Buffer.from(asVersion6(TWO, { copies: 2 }));
    const { counts } = importBytes(whole).result;
    const zeroed = (from: number, to: number): Imported =>
      importBytes(Buffer.from(whole).fill(0, whole.length + from, whole.length + to));
    for (const [pages, what] of [
      [1, 'a page'],
      [2, '2 pages'],
    ] as const) {
      const { result } = zeroed((-1 - pages) * 4096, -4096);
      assert.equal(result.counts.damaged, 1);
      assert.ok(result.counts.events < counts.events);
      const { message = '' } = result.stopped ?? {};
      assert.match(message, new RegExp(`offset ${whole.length + (-1 - pages) * 4096}\\).*: ${what} of zeros before`));
    }
    const { result } = zeroed(-4096, 0);
    assert.deepEqual([result.counts.damaged, result.stopped], [0, null]);
    assert.ok(result.counts.events < counts.events);
  });

  it('a gap that is longer than its page is said', () => {
    const file = Buffer.from(asVersion6(TWO));
    const record = file.length - 2 * 4096 + 16;
    file.writeUInt32LE(29 | (1 << 5), record); // RINGBUF_TYPE_PADDING of a discarded event
    file.writeUInt32LE(0xffff_ff00, record + 4);
    const { result } = importBytes(file);
    assert.match(result.stopped?.message ?? '', /a gap of 4294967040 bytes ends behind its page/);
  });

  it('times of a CPU that go back are told of', () => {
    const file = Buffer.from(asVersion6(TWO));
    const late = (bytes: Uint8Array): readonly string[] =>
      importBytes(bytes).result.notes.flatMap(({ says }) => /^\d+ records are older/.exec(says)?.[0] ?? []);
    assert.deepEqual(late(file), []);
    const page = file.length - 2 * 4096;
    file.writeBigUInt64LE(file.readBigUInt64LE(page) - 1_000_000_000n, page);
    assert.equal(late(file).length, 1);
  });

  it('records of a pipe mean what was said before them, whatever comes later', () => {
    const pipe = asPipe(asPlain(PERF));
    const whole = importBytes(pipe);
    const [from, to] = tracingData(pipe);
    const other = Buffer.from(
      pipe.subarray(from, to).toString('latin1').replaceAll('exit_reason;', 'exit_number;'),
      'latin1',
    );
    const { events } = importBytes(Buffer.concat([pipe, other]));
    assert.ok(events.some(({ kind }) => kind === 'exit'));
    assert.deepEqual(events, whole.events);
  });

  it('a perf.data that ends early keeps what it has', () => {
    const pipe = asPipe(PERF);
    const { result } = importBytes(pipe.subarray(0, pipe.length - 1000));
    assert.equal(result.stopped?.code, 'TRUNCATED');
    assert.ok(result.counts.exits > 0);
  });

  it('records that come too late are told of, and whether rounds say how long to wait for them', () => {
    const FINISHED_ROUND = 68;
    const without = asPlain(PERF, (type) => (type === FINISHED_ROUND ? 0 : Number.POSITIVE_INFINITY));
    const pipe = asPipe(without);
    const { layout } = readAttribute(new Scanner(bytesInMemory(pipe, 'pipe'), 24, pipe.length, true), null);
    // a lost record, whose time is by far the first
    const late = Buffer.alloc(24 + layout.trailer.size);
    late.writeUInt32LE(2, 0);
    late.writeUInt16LE(late.length, 6);
    late.writeBigUInt64LE(1n, late.length + layout.trailer.time);
    const round = Buffer.alloc(8);
    round.writeUInt32LE(FINISHED_ROUND, 0);
    round.writeUInt16LE(round.length, 6);
    const notesOf = (...records: readonly Buffer[]): readonly string[] =>
      importBytes(Buffer.concat([pipe, ...records])).result.notes.flatMap(({ says }) =>
        /came so late/.test(says) ? [says] : [],
      );
    assert.deepEqual(notesOf(late), []);
    assert.match(notesOf(round, round, late).join(), /^1 records .* more than a round/);
  });

  it('what perf counts as lost at its end is not lost once more where records told of it', () => {
    const pipe = asPipe(PERF);
    const attribute = readAttribute(new Scanner(bytesInMemory(pipe, 'pipe'), 24, pipe.length, true), null);
    const { size, time } = attribute.layout.trailer;
    const record = (type: number, numbers: readonly number[], at: bigint, misc = 0): Buffer => {
      const bytes = Buffer.alloc(8 + 8 * numbers.length + size);
      bytes.writeUInt32LE(type, 0);
      bytes.writeUInt16LE(misc, 4);
      bytes.writeUInt16LE(bytes.length, 6);
      for (const [i, value] of numbers.entries()) bytes.writeBigUInt64LE(BigInt(value), 8 + 8 * i);
      bytes.writeBigUInt64LE(at, bytes.length + time);
      return bytes;
    };
    const lost = record(2, [1, 5], 1n << 50n);
    const lostBy = (...records: readonly Buffer[]): unknown => {
      const { counts, notes } = importBytes(Buffer.concat([pipe, ...records])).result;
      return [counts.lost, notes.filter(({ says }) => /came so late/.test(says))];
    };
    assert.deepEqual(lostBy(lost), [5, []]);
    assert.deepEqual(lostBy(lost, record(13, [2], 0n), record(13, [3], 0n)), [5, []]);
    assert.deepEqual(lostBy(lost, record(13, [7], 0n)), [7, []]);
    assert.deepEqual(lostBy(record(13, [7], 0n)), [7, []]);
    assert.deepEqual(lostBy(lost, record(13, [7], 0n, 1 << 15)), [5, []], 'a filter left them out');
    assert.deepEqual(lostBy(lost, record(13, [7], 1n << 50n)), [12, []], 'lost by the processor, which knows when');
  });

  it('a folder of perf record --threads says what to do', () => {
    const folder = mkdtempSync(join(tmpdir(), 'trapline-'));
    try {
      assert.throws(() => openSource(folder), { code: 'EISDIR' });
      for (const name of ['data', 'data.0', 'data.1']) writeFileSync(join(folder, name), PERF);
      assert.throws(() => openSource(folder), { code: 'UNSUPPORTED', advice: /perf script -i/ });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('a file of which nothing can be read does not promise that anything is kept', () => {
    const dat = TWO.subarray(0, Math.floor(TWO.length / 2));
    assert.throws(
      () => importBytes(dat),
      (error) => error instanceof ImportError && error.code === 'TRUNCATED' && !/kept/.test(error.advice),
    );
  });

  it('a perf.data that lost the descriptions of its events says so', () => {
    const whole = Buffer.from(PERF);
    const [at, size] = [40, 48].map((offset) => Number(whole.readBigUInt64LE(offset))) as [number, number];
    const { result } = importBytes(whole.subarray(0, at + size - 100));
    const notes = result.notes.map(({ says }) => says).join('\n');
    assert.match(notes, /descriptions of the events, .* are missing/);
    assert.doesNotMatch(notes, /record the events of kvm/);
  });

  it('a trace.dat whose event formats are damaged says so, and nothing of a perf.data', () => {
    const bad = Uint8Array.from(TWO);
    // the third section in zstd: page header, ftrace formats, event formats (trace-cmd.dat.v7(5))
    let at = -1;
    for (let section = 0; section < 3; section++)
      at = Buffer.from(TWO).indexOf(Buffer.of(0x28, 0xb5, 0x2f, 0xfd), at + 1);
    bad.fill(0xff, at + 8, at + 16);
    const notes = importBytes(bad)
      .result.notes.map(({ says }) => says)
      .join('\n');
    assert.match(notes, /descriptions of the events are missing or damaged/);
    assert.doesNotMatch(notes, /perf/);
  });

  it('every length of a file gives rows or one coded error', () => {
    for (const whole of [asVersion6(NESTED), NESTED, PERF]) {
      for (let length = 0; length < whole.length; length += 1 + Math.floor(whole.length / 60)) {
        try {
          const { result } = importBytes(whole.subarray(0, length));
          assert.notEqual(result.stopped, null, `${length} of ${whole.length} bytes`);
        } catch (error) {
          assert.ok(error instanceof Error && error.name === 'ImportError', `${length} bytes: ${String(error)}`);
        }
      }
    }
  });

  for (const [what, at, value] of [
    ['an ftrace format of 2^60 bytes', 'number of formats', 1n << 60n],
    ['an ftrace format of 1 GiB', 'number of formats', 1n << 30n],
  ] as const) {
    it(`${what} is refused before memory is taken`, () => {
      const file = Buffer.from(asVersion6(NESTED));
      const formats = file.indexOf('# compressed entry header\n') + '# compressed entry header\n'.length + 4;
      file.writeBigUInt64LE(value, formats);
      const before = process.memoryUsage().arrayBuffers;
      assert.throws(() => importBytes(file), { name: 'ImportError' }, at);
      assert.ok(process.memoryUsage().arrayBuffers - before < 64 << 20);
    });
  }
});

describe('format files', () => {
  it('fields of every kind', () => {
    const format = parseFormat(
      'sched',
      'name: some_event\nID: 314\nformat:\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n' +
        '\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;\n\n\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;\n' +
        '\tfield:__data_loc char[] msg;\toffset:24;\tsize:4;\tsigned:0;\n\tfield:void * p;\toffset:32;\tsize:8;\tsigned:0;\n\nprint fmt: "x"\n',
    );
    assert.deepEqual([format?.name, format?.id, format?.size], ['some_event', 314, 40]);
    assert.deepEqual(
      format?.fields.map(({ name, count, dynamic, signed }) => ({ name, count, dynamic, signed })),
      [
        { name: 'common_type', count: null, dynamic: null, signed: false },
        { name: 'common_pid', count: null, dynamic: null, signed: true },
        { name: 'prev_comm', count: 16, dynamic: null, signed: false },
        { name: 'msg', count: null, dynamic: 'data', signed: false },
        { name: 'p', count: null, dynamic: null, signed: false },
      ],
    );
  });

  it('fields without a sign, of kernels before 2.6.33', () => {
    assert.deepEqual(
      parseFields('\tfield:int a;\toffset:0;\tsize:4;\n\tfield:unsigned int b;\toffset:4;\tsize:4;\n').map(
        ({ name, signed }) => [name, signed],
      ),
      [
        ['a', true],
        ['b', false],
      ],
    );
  });

  it('fields that lie beyond any record are left out', () => {
    assert.deepEqual(parseFields('\tfield:int a;\toffset:65534;\tsize:4;\tsigned:1;\n'), []);
  });
});

describe('binary and text of one recording', () => {
  it('two vCPUs: the same exits at the same places', () => {
    const text = importText(readFileSync(fixturePath('svm-two-vcpus.report.txt'), 'utf8'));
    const binary = importBytes(TWO);
    const exits = ({ events }: Imported): unknown[] =>
      events.flatMap(({ kind, reason, rip }) => (kind === 'exit' ? [{ reason, rip }] : []));
    const printed = exits(text);
    assert.ok(printed.length > 20);
    assert.deepEqual(exits(binary).slice(0, printed.length), printed);
  });

  it('nested: every event', () => {
    const text = importText(readFileSync(fixturePath('svm-nested.report.txt'), 'utf8'));
    const binary = importBytes(NESTED);
    const key = ({ events }: Imported): unknown[] =>
      events.map(({ kind, reason, rip, gpa, qualification, from_level, to_level, parent }) => [
        ...[kind, reason, rip, gpa],
        ...[qualification, from_level, to_level, parent],
      ]);
    assert.deepEqual(key(binary), key(text));
  });
});

it('a perf.data that ends in a description of itself says where, and how much of it is there', () => {
  const bytes = readFileSync(fixturePath('svm-kvm-stat.perf.data'));
  for (const cut of [bytes.length - 1, bytes.length - 1000]) {
    const said = importBytes(bytes.subarray(0, cut)).result.stopped?.message ?? '';
    const [, offset, needs, left] =
      /\(offset (\d+)\): .* needs (\d+) bytes, (\d+) are left/.exec(said) ?? assert.fail(said);
    assert.equal(Number(offset) + Number(left), cut, said);
    assert.ok(Number(needs) > Number(left), said);
  }
});
