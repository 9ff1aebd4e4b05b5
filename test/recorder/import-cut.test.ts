/** trace.dat of version 7 that lost its end, and with it the options that say where the data of each CPU lies. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { constants, inflateSync } from 'node:zlib';
import { bytesInMemory } from '../../recorder/import/binary/scanner.js';
import { TraceDat } from '../../recorder/import/binary/tracedat.js';
import { ImportError } from '../../recorder/import/errors.js';
import { fixturePath, type Imported, importBytes, sharedPath } from './import-helpers.js';
import { asVersion6, asVersion7, walkOptions } from './trace-dat-files.js';

const TWO = readFileSync(fixturePath('svm-two-vcpus.trace.dat'));
const PAGE = 4096;

/** An event without what depends on the events before it. */
const rowOf = ({ kind, time_ns, reason, rip, bytes, text, value }: Imported['events'][number]): string =>
  [kind, time_ns, reason, rip, bytes, text, value].map(String).join(' ');

/** How many of the events kept are those of the whole file, in its order. */
function keptInOrder(cut: Imported, whole: Imported): number {
  const all = whole.events.map(rowOf);
  let next = 0;
  let found = 0;
  for (const row of cut.events.map(rowOf)) {
    const at = all.indexOf(row, next);
    if (at < 0) continue;
    found += 1;
    next = at + 1;
  }
  return found;
}

const datOf = (bytes: Uint8Array): TraceDat => new TraceDat(bytesInMemory(bytes, 'file'));
/** Offset of the first section of options: behind the name and the version of the compression. */
const firstOptions = (bytes: Buffer): number =>
  Number(bytes.readBigUInt64LE(bytes.indexOf(0, bytes.indexOf(0, 18) + 1) + 1));
/** Offset of the first page or chunk of any CPU. */
const firstData = (bytes: Uint8Array): number =>
  Math.min(...datOf(bytes).buffers.flatMap(({ cpus }) => cpus.map(({ offset }) => offset)));

/** Events that lie in the first `end` bytes, when the file describes itself: its tables stay, its data is what is there. */
function eventsBefore(bytes: Uint8Array, end: number): number {
  const file = Buffer.from(bytes);
  file.fill(
    0,
    end,
    datOf(bytes).buffers[0]?.cpus.reduce((most, { offset, size }) => Math.max(most, offset + size), 0),
  );
  return importBytes(file).events.filter(({ kind }) => kind !== 'lost').length;
}

/** Where the records with data of a page end: enum ring_buffer_type of include/linux/ring_buffer.h. */
function recordEnds(page: Buffer): number[] {
  const [ends, end]: [number[], number] = [[], 16 + (page.readUInt32LE(8) & 0x7ff_ffff)];
  for (let at = 16; at < end; ) {
    const type = page.readUInt32LE(at) & 31;
    if (type === 29) break;
    if (type === 0) at += 4 + page.readUInt32LE(at + 4);
    else at += type < 29 ? 4 + 4 * type : 8;
    if (type < 29) ends.push(at);
  }
  return ends;
}

describe('a trace.dat that ends in its only page', () => {
  for (const name of ['vmx-vmfail', 'vmx-failed-entry'])
    for (const [form, make] of [
      ['6', asVersion6],
      ['7', (source: Uint8Array) => asVersion7(source, false)],
    ] as const)
      it(`keeps the records before its end, wherever that is: version ${form}, ${name}`, () => {
        const whole = Buffer.from(make(readFileSync(fixturePath(`${name}.trace.dat`))));
        const page = firstData(whole);
        const all = importBytes(whole).events.map(rowOf);
        const ends = recordEnds(whole.subarray(page, page + PAGE));
        assert.equal(ends.length, all.length);
        for (let length = 1; length <= (ends.at(-1) ?? 0); length += 3) {
          const count = ends.filter((end) => end <= length).length;
          const cut = (): Imported => importBytes(whole.subarray(0, page + length));
          if (count === 0) assert.throws(cut, { code: 'TRUNCATED' }, `${length} bytes`);
          else {
            const { events, result } = cut();
            assert.deepEqual(events.map(rowOf), all.slice(0, count), `${length} bytes`);
            assert.deepEqual([result.stopped?.code, result.counts.damaged], ['TRUNCATED', 1], `${length} bytes`);
          }
        }
      });
});

describe('a trace.dat of version 7 without its end', () => {
  for (const packed of [false, true]) {
    const whole = asVersion7(TWO, packed, { counted: true });
    const imported = importBytes(whole);

    it(`${packed ? 'packed' : 'plain'}: keeps the events before the cut, in their order`, () => {
      const first = firstData(whole);
      for (let percent = 10; percent < 100; percent += 7) {
        const length = first + Math.floor(((whole.length - first) * percent) / 100);
        const cut = importBytes(whole.subarray(0, length));
        assert.equal(cut.result.stopped?.code, 'TRUNCATED');
        assert.equal(keptInOrder(cut, imported), cut.events.length, `${length} bytes`);
        assert.ok(cut.result.notes.some(({ says }) => /inferred/.test(says)) || length > whole.length - 200);
        if (!packed) assert.ok(cut.events.length >= eventsBefore(whole, length - (length % PAGE)), `${length} bytes`);
      }
    });
  }

  for (const name of ['vmx-vmfail', 'vmx-failed-entry', 'svm-nested'])
    it(`packed: keeps of its first chunk what the plain one has as far as zlib gives it out: ${name}`, () => {
      const source = readFileSync(fixturePath(`${name}.trace.dat`));
      const plain = asVersion7(source, false);
      const whole = Buffer.from(asVersion7(source, true));
      const [first, data] = [firstData(plain), firstData(whole)];
      const head = data + 4 + 8; // the number of chunks, and the two sizes of the first
      const packed = whole.readUInt32LE(data + 4);
      const kept = (file: Uint8Array): string[] => {
        try {
          return importBytes(file).events.map(rowOf);
        } catch (error) {
          if (error instanceof ImportError && error.code === 'TRUNCATED') return [];
          throw error;
        }
      };
      let most = 0;
      for (let length = 1; length < packed; length += 1 + (packed >> 7)) {
        const start = inflateSync(whole.subarray(head, head + length), { finishFlush: constants.Z_SYNC_FLUSH });
        const events = kept(whole.subarray(0, head + length));
        assert.deepEqual(events, kept(plain.subarray(0, first + start.length)), `${length} of ${packed} bytes`);
        assert.ok(events.length >= most, 'no fewer of more');
        most = events.length;
      }
      assert.ok(most > 1);
    });

  it('loses nothing where only its description is lost', () => {
    for (const packed of [false, true]) {
      const whole = asVersion7(TWO, packed);
      const cut = importBytes(whole.subarray(0, whole.length - 20));
      assert.deepEqual(cut.events, importBytes(whole).events);
      assert.match(cut.result.stopped?.why ?? '', /ends in the options/);
    }
  });

  it('says so where it ends between two of its parts', () => {
    const whole = asVersion7(TWO, true);
    const end = Math.max(...datOf(whole).buffers.flatMap(({ cpus }) => cpus.map(({ offset, size }) => offset + size)));
    const cut = importBytes(whole.subarray(0, end));
    assert.match(cut.result.stopped?.why ?? '', /ends behind the pages of a buffer; what came behind is lost/);
    assert.deepEqual(cut.events, importBytes(whole).events);
  });

  it('says where it ends and what comes there, before its first event too', () => {
    const whole = asVersion7(TWO, false);
    const cut = (): unknown => importBytes(whole.subarray(0, 50_000));
    assert.throws(cut, (error) => error instanceof ImportError && /ends in the formats of events/.test(error.message));
  });

  it('knows the CPUs by the counters of the kernel, and says where it does not', () => {
    const cutTo = (bytes: Uint8Array): readonly string[] =>
      importBytes(bytes.subarray(0, bytes.length - 20)).result.notes.map(({ says }) => says);
    const counted = asVersion7(TWO, true, { host: 8, numbers: [2, 5], counted: true });
    assert.ok(cutTo(counted).some((says) => says.endsWith('packed chunks: CPU 2, 5')));
    const blind = asVersion7(TWO, true, { host: 8, numbers: [2, 5] });
    assert.ok(cutTo(blind).some((says) => says.endsWith('2 CPUs, of unknown number')));
  });

  it('keeps the buffers that are described, and infers the one that is cut', () => {
    const whole = asVersion7(TWO, true, { buffers: ['', 'other'] });
    const { offset } = datOf(whole).buffers[1]?.cpus[1] ?? assert.fail();
    const once = importBytes(asVersion7(TWO, true)).events.length;
    const { events } = importBytes(whole.subarray(0, offset + 3000));
    assert.ok(events.length > once && events.length < 2 * once);
  });

  it('refuses what are no pages', () => {
    const whole = Buffer.from(asVersion7(TWO, false));
    const first = firstData(whole);
    const pages = whole.subarray(first, whole.length - 200);
    for (let at = 0; at < pages.length; at += 1) pages[at] = (at * 7919) >> 3;
    const cut = (): unknown => importBytes(whole.subarray(0, whole.length - 20));
    assert.throws(
      cut,
      (error) => error instanceof ImportError && /not clear where those of each CPU/.test(error.message),
    );
  });

  // as `trace-cmd convert --file-version 7` of 3.1.6 writes recordings of more than one CPU
  it('reads pages that no option of a whole file leads to', () => {
    for (const packed of [false, true]) {
      const whole = Buffer.from(asVersion7(TWO, packed));
      const { events } = importBytes(whole);
      const buffer = datOf(whole).buffers[0] ?? assert.fail();
      const pages = Math.min(...buffer.cpus.map(({ offset }) => offset));
      const head = whole.lastIndexOf(Buffer.from([3, 0, packed ? 1 : 0, 0, 0, 0, 0, 0]), pages);
      walkOptions(whole, firstOptions(whole), (id, at) => {
        if (id === 3 && Number(whole.readBigUInt64LE(at)) === head) whole.writeUInt16LE(999, at - 6);
      });
      const blind = importBytes(whole);
      assert.deepEqual(blind.events.map(rowOf), events.map(rowOf));
      assert.ok(blind.result.notes.some(({ says }) => /inferred/.test(says)));
    }
  });

  it('an option that places the data of a CPU outside of its buffer costs nothing of the data', () => {
    for (const packed of [false, true])
      for (const astray of [0n, 40n, 1n << 40n]) {
        const whole = Buffer.from(asVersion7(TWO, packed));
        const { events } = importBytes(whole);
        const { cpus } = datOf(whole).buffers[0] ?? assert.fail();
        // the number of the CPU, then the place of its data
        const place = Buffer.alloc(12);
        place.writeUInt32LE(cpus[1]?.cpu ?? assert.fail(), 0);
        place.writeBigUInt64LE(BigInt(cpus[1]?.offset ?? assert.fail()), 4);
        whole.writeBigUInt64LE(astray, whole.lastIndexOf(place) + 4);
        const blind = importBytes(whole);
        assert.deepEqual(blind.events.map(rowOf), events.map(rowOf));
        assert.match(String(blind.result.stopped?.message), /data of CPU \d+ at \d+, outside of its buffer/);
      }
  });

  it('damaged options cost nothing of the data', () => {
    const whole = Buffer.from(asVersion7(TWO, true));
    const expected = importBytes(whole).events;
    const at = whole.lastIndexOf('local\0');
    whole.writeUInt32LE(3, at + 6); // the page size
    const { events, result } = importBytes(whole);
    assert.equal(result.stopped?.code, 'CORRUPT');
    assert.deepEqual(events, expected);
  });

  for (const name of ['svm/svm_2vcpu', 'svm/svm_overwrite', 'vmx/vmx_basic']) {
    const path = sharedPath(`kvm/${name}.trace.dat`);
    it(`${name} as trace-cmd wrote it`, {
      skip: path === null && 'the shared collection of real data is not here',
    }, () => {
      const whole = readFileSync(path ?? '');
      const imported = importBytes(whole);
      const first = firstData(whole);
      let most = 0;
      for (let part = 1; part < 20; part++) {
        const length = first + Math.floor(((whole.length - first) * part) / 20);
        try {
          const cut = importBytes(whole.subarray(0, length));
          const kept = cut.events.filter(({ kind }) => kind !== 'lost').length;
          assert.ok(keptInOrder(cut, imported) >= kept, `${length} bytes`);
          assert.ok(kept >= most, 'a longer file keeps no less');
          most = kept;
        } catch (error) {
          // the first chunk of pages is cut
          assert.ok(error instanceof ImportError && error.code === 'TRUNCATED' && most === 0, String(error));
        }
      }
      assert.ok(most > 0.9 * imported.events.length);
    });
  }
});
