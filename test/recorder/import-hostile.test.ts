/** Small files that ask for endless work or memory: each is refused, or read in proportion to its size. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { deflateSync } from 'node:zlib';
import { Growth, INFLATE } from '../../recorder/import/binary/compression.js';
import { parseFields } from '../../recorder/import/binary/formats.js';
import { CompressedPages } from '../../recorder/import/binary/pages.js';
import { bytesInMemory } from '../../recorder/import/binary/scanner.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { fixturePath, importBytes, importText } from './import-helpers.js';
import { asPipe, asPlain } from './perf-files.js';
import { asVersion6, asVersion7, walkOptions } from './trace-dat-files.js';
import { zstdEmpty, zstdOf } from './zstd-frames.js';

const bytesOf = (name: string): Buffer => readFileSync(fixturePath(name));
const NESTED = bytesOf('svm-nested.trace.dat');

/** Bytes that an import asks for. */
function bytesRead(bytes: Uint8Array): number {
  const memory = memorySource(bytes);
  let total = 0;
  const count = (got: number): number => {
    total += got;
    return got;
  };
  const source = { ...memory, readAt: (target: Uint8Array, at: number) => count(memory.readAt?.(target, at) ?? 0) };
  try {
    importTrace(source, () => new StreamWriter(() => {}));
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'ImportError') throw error;
  }
  return total;
}

describe('names that every object of JavaScript answers to', () => {
  const NAMES = ['valueOf', 'toString', '__proto__', 'constructor', 'isPrototypeOf', 'hasOwnProperty'];

  it('are fields of no event in the descriptions of a recording', () => {
    const file = asVersion6(NESTED);
    const text = Buffer.from(file).toString('latin1');
    const { counts } = importBytes(file).result;
    for (const [field, name] of [
      ['vcpu_id', 'valueOf'],
      ['guest_rip', '__proto__'],
      ['exit_reason', 'constructor'],
    ] as const) {
      assert.ok(text.includes(` ${field};`));
      const other = Buffer.from(text.replaceAll(` ${field};`, ` ${name};`), 'latin1');
      const { result } = importBytes(other);
      assert.deepEqual([result.counts.events, result.stopped], [counts.events, null], name);
    }
  });

  it('are fields, events and tasks of lines as others are', () => {
    const lines = NAMES.flatMap((name) => [
      `${name}-7 [000] 1.5: kvm_exit: reason HLT rip 0x1 info 0 0`,
      `q-8 [000] 1.5: kvm_exit: ${name}=5 exit_reason=12 guest_rip=2 isa=1`,
      `q-8 [000] 1.5: kvm_write_tsc_offset: ${name}=5`,
      `q-8 [000] 1.5: ${name}: ${name}=5`,
      `q-8 [000] 1.5: kvm_exit: reason ${name} rip 0x1 info 0 0`,
    ]);
    const { result } = importText(`${lines.join('\n')}\n`);
    assert.deepEqual([result.counts.events, result.stopped], [lines.length, null]);
  });
});

describe('data that is named more than once', () => {
  it('CPUs of a trace.dat that claim the same pages: one keeps them', () => {
    const file = Buffer.from(asVersion6(bytesOf('svm-two-vcpus.trace.dat')));
    const { counts } = importBytes(file).result;
    const table = file.indexOf('flyrecord\0') + 10;
    const cpus = file.readUInt32LE(file.indexOf('options  \0') - 4);
    const [offset, size] = [file.readBigUInt64LE(table), file.readBigUInt64LE(table + 8)];
    if (cpus === 1) {
      // a second CPU in the room before the pages
      file.writeUInt32LE(2, file.indexOf('options  \0') - 4);
      file.writeBigUInt64LE(offset, table + 16);
      file.writeBigUInt64LE(size, table + 24);
    } else file.copy(file, table + 16, table, table + 16);
    const { result } = importBytes(file);
    assert.equal(result.stopped?.code, 'CORRUPT');
    assert.match(result.stopped?.message ?? '', /data of CPU \d+ in that of CPU \d+: left out/);
    assert.ok(result.counts.events <= counts.events);
  });

  it('a table of CPUs as large as the file, for many instances', () => {
    const whole = Buffer.from(asVersion6(NESTED));
    const tag = whole.indexOf('options  \0');
    const instances = Array.from({ length: 4000 }, () => {
      const option = Buffer.alloc(6 + 10);
      option.writeUInt16LE(3, 0);
      option.writeUInt32LE(10, 2);
      option.writeBigUInt64LE(BigInt(tag), 6);
      return option;
    });
    const file = Buffer.concat([whole.subarray(0, tag + 10), ...instances, whole.subarray(tag + 10)]);
    file.writeUInt32LE(4000, tag - 4);
    assert.ok(bytesRead(file) < 8 * file.length);
  });

  it('a section of formats that many options name', () => {
    const whole = Buffer.from(asVersion7(NESTED, false));
    const first = optionsOf(whole);
    const entry = Buffer.from(whole.subarray(first + 16 + 2 * 14, first + 16 + 3 * 14)); // the event formats
    const options = lastOptionsOf(whole);
    const again = Buffer.concat(Array.from({ length: 5000 }, () => entry));
    const file = Buffer.concat([whole.subarray(0, options + 16), again, whole.subarray(options + 16)]);
    file.writeBigUInt64LE(BigInt(file.length - options - 16), options + 8);
    assert.ok(bytesRead(file) < 12 * file.length);
  });

  it('ids of perf.data that many attributes name', () => {
    const plain = asPlain(bytesOf('svm-exit-entry.zstd.perf.data'), (type) => (type === 9 ? 5 : 1));
    const size = Number(plain.readBigUInt64LE(16));
    const attributes = Number(plain.readBigUInt64LE(24));
    const one = Buffer.from(plain.subarray(attributes, attributes + size));
    one.writeBigUInt64LE(0n, size - 16);
    const many = Buffer.concat(Array.from({ length: 3000 }, () => one));
    const file = Buffer.concat([plain, many]);
    for (let i = 0; i < 3000; i++) file.writeBigUInt64LE(BigInt(file.length), plain.length + i * size + size - 8);
    file.writeBigUInt64LE(BigInt(plain.length), 24);
    file.writeBigUInt64LE(BigInt(many.length), 32);
    assert.throws(() => importBytes(file), { code: 'CORRUPT', message: /ids that other attributes have/ });
  });
});

describe('what grows', () => {
  it('chunks of pages that are empty, one after the other', () => {
    const file = Buffer.from(NESTED);
    const offset = firstCpu(file);
    // many empty chunks where the pages of the CPU were
    const chunk = Buffer.concat([words(zstdEmpty.length, 0), zstdEmpty]);
    const chunks = Buffer.concat([words(100_000), ...Array.from({ length: 100_000 }, () => chunk)]);
    const moved = Buffer.concat([file, chunks]);
    moved.writeBigUInt64LE(BigInt(file.length), offset);
    assert.throws(() => importBytes(moved), { name: 'ImportError' });
  });

  it('chunks that become far more than they are', () => {
    const growth = new Growth();
    assert.ok(growth.allows(1000, 200 << 20), 'pages of a ring buffer may be empty for the most part');
    assert.ok(!growth.allows(1000, 200 << 20));
    const fair = new Growth();
    for (let i = 0; i < 1000; i++) assert.ok(fair.allows(1 << 20, 200 << 20), 'what is compressed well may go on');
  });

  it('chunks of so many CPUs that memory could not hold one of each', () => {
    const packed = deflateSync(Buffer.alloc(8 << 20));
    const file = bytesInMemory(Buffer.concat([words(1, packed.length, 8 << 20), packed]), 'file');
    const inflate = INFLATE.get('zlib') ?? assert.fail();
    const data = { cpu: 0, offset: 0, size: file.size };
    const readBy = (cpus: number): readonly string[] => {
      const says: string[] = [];
      const broken = ({ message }: Error): unknown => says.push(message);
      const pages = new CompressedPages(file, data, 4096, inflate, true, broken, new Growth(cpus), file.size);
      assert.equal(pages.next(), says.length === 0);
      return says;
    };
    assert.deepEqual(readBy(60), []);
    assert.match(readBy(70)[0] ?? '', /a chunk of \d+ bytes that becomes 8388608/);
  });

  it('a compressed record of perf that becomes far more than it is', () => {
    const pipe = asPipe(asPlain(bytesOf('svm-exit-entry.zstd.perf.data'), (type) => (type === 9 ? 5 : 1)));
    const frame = zstdOf(8, 48 << 20); // records of type 0x08080808
    const head = Buffer.alloc(8);
    head.writeUInt32LE(81, 0);
    head.writeUInt16LE(8 + frame.length, 6);
    const record = Buffer.concat([head, frame]);
    const { result } = importBytes(Buffer.concat([pipe, ...Array.from({ length: 100 }, () => record)]));
    assert.match(result.stopped?.message ?? '', /beyond all bounds|out of all proportion/);
    assert.ok(result.counts.exits > 0);
  });

  it('tracing data of a pipe that is announced and does not come', () => {
    const record = Buffer.alloc(12);
    record.writeUInt32LE(66, 0);
    record.writeUInt16LE(12, 6);
    record.writeUInt32LE(255 << 20, 8);
    const before = process.memoryUsage().arrayBuffers;
    assert.throws(() => importBytes(Buffer.concat([Buffer.from('PERFILE2\x10\0\0\0\0\0\0\0', 'latin1'), record])), {
      code: 'TRUNCATED',
    });
    assert.ok(process.memoryUsage().arrayBuffers - before < 32 << 20);
  });
});

describe('what a pattern would chew on', () => {
  it('a field whose declaration is one long word that is none', () => {
    const line = `\tfield:${'a'.repeat(1 << 20)}!;\toffset:0;\tsize:8;\tsigned:0;`;
    assert.deepEqual(parseFields(line), []);
    const many = `\tfield:u64 a;\toffset:0;\tsize:8;\tsigned:0;\n`.repeat(30_000);
    assert.ok(parseFields(many).length <= 512);
  });

  it('the name of a clock of brackets alone', () => {
    const whole = Buffer.from(asVersion7(NESTED, false));
    const options = lastOptionsOf(whole);
    const option = Buffer.alloc(6 + (1 << 20), '[');
    option.writeUInt16LE(4, 0);
    option.writeUInt32LE(1 << 20, 2);
    const file = Buffer.concat([whole.subarray(0, options + 16), option, whole.subarray(options + 16)]);
    file.writeBigUInt64LE(BigInt(file.length - options - 16), options + 8);
    assert.ok(importBytes(file).result.counts.events > 0);
  });

  it('gaps between many threads', () => {
    let text = '';
    for (let i = 0; i < 60_000; i++) text += `t-${i} [000] 1.0: kvm_fpu: load\nCPU:0 [LOST 1 EVENTS]\n`;
    assert.equal(importText(text).result.counts.lost, 60_000);
  });

  it('names without end are cut', () => {
    const { writer } = importText(`${'t'.repeat(50_000)}-1 [000] 1.0: ${'n'.repeat(5000)}: x\n`);
    const [lane] = writer.dictionary('vcpu').values();
    assert.ok((lane?.name.length ?? 0) < 300);
    assert.ok([...writer.dictionary('event').values()].every(({ name }) => name.length <= 256));
  });
});

describe('what is printed of an input', () => {
  it('has no control characters', () => {
    const { result } = importText('t-1 [000] 1.0: kvm_fpu: load\nno event \u001b]0;title\u0007\u001b[2J\n');
    assert.match(result.notes[0]?.says ?? '', /no event/);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
    assert.ok(result.notes.every(({ says }) => !/[\0-\x1f\x7f-\x9f]/.test(says)));
  });

  it('has no marks that turn the direction of what is printed', () => {
    const { result } = importText('t-1 [000] 1.0: kvm_fpu: load\nno event \u202egnp.exe\u2066\u200f\n');
    assert.match(result.notes[0]?.says ?? '', /no event \ufffdgnp\.exe\ufffd\ufffd/);
  });

  it('is one line of bounded length, whatever the names in it', () => {
    const file = Buffer.from(asVersion6(NESTED));
    const name = file.indexOf('name: kvm_exit\n') + 6;
    // a record of an event whose name is as long as its description, and whose fields no record has
    const end = name - 6 + Number(file.readBigUInt64LE(name - 14));
    const text = file.toString('latin1', name - 6, end);
    const id = /ID: \d+/.exec(text)?.[0] ?? assert.fail();
    const rest = `\n${id}\n\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;\n\tfield:u64 x;\toffset:9000;\tsize:8;\tsigned:0;`;
    file.write('n'.repeat(end - name - rest.length) + rest, name, 'latin1');
    const { message } = importBytes(file).result.stopped ?? assert.fail();
    assert.match(message, /nnn/);
    assert.ok(message.length < 1000, `${message.length} characters`);
  });
});

/** A file that ends within a page keeps the events of that page that are whole. */
describe('a page that the file ends in', () => {
  it('keeps every event before the end', () => {
    const whole = asVersion6(NESTED);
    const { events } = importBytes(whole);
    let last = 0;
    for (let cut = whole.length - 8192 + 64; cut < whole.length - 4096; cut += 512) {
      const { result, events: some } = importBytes(whole.subarray(0, cut));
      assert.equal(result.stopped?.code, 'TRUNCATED');
      assert.match(result.stopped?.where ?? '', new RegExp(`offset ${cut}\\)`));
      assert.ok(some.length >= last);
      assert.deepEqual(some.slice(0, -1), events.slice(0, some.length - 1));
      last = some.length;
    }
    assert.ok(last > 5);
  });
});

/** Where the first options of a version 7 file lie. */
const optionsOf = (file: Buffer): number => Number(file.readBigUInt64LE(file.indexOf(0, file.indexOf(0, 18) + 1) + 1));

/** The options at the end of a file, which may become longer without moving anything. */
function lastOptionsOf(file: Buffer): number {
  for (let at = optionsOf(file); ; ) {
    let done = at + 16;
    while (file.readUInt16LE(done) !== 0) done += 6 + file.readUInt32LE(done + 2);
    const next = Number(file.readBigUInt64LE(done + 6));
    if (next === 0) return at;
    at = next;
  }
}

const words = (...values: readonly number[]): Buffer => {
  const out = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => {
    out.writeUInt32LE(value, 4 * i);
  });
  return out;
};

/** Where a version 7 file says where the data of its first CPU lies. */
function firstCpu(file: Buffer): number {
  let found = 0;
  walkOptions(file, optionsOf(file), (id, at) => {
    if (id === 3) found = file.indexOf(0, file.indexOf(0, at + 8) + 1) + 1 + 12;
  });
  return found;
}
