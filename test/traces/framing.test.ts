/** That damage of an Arrow trace is found also where no digest of rows covers it, and nothing else is taken for it. */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { integrityOf, isIntact } from '../../analyzer/verify.js';
import { batchMessage, END_OF_STREAM, PREFIX, readBatch } from '../../traces/arrow/ipc.js';
import { chunkLine, description, manifestPath, parseManifest, streamPath } from '../../traces/arrow/manifest.js';
import { locate } from '../../traces/arrow/record-batch.js';
import { TraceError } from '../../traces/errors.js';
import { inPackage } from '../../traces/guests/guest.js';
import { createTrace } from '../../traces/open.js';
import { TABLE_NAMES, TABLES, type TableName } from '../../traces/schema.js';
import { call } from '../cli/process.js';
import { fillLong, folderOf, reading } from './rows.js';

/** Not every byte is changed: one after so many, and bits in turn. */
const STEP = 11;

let [folder, path] = ['', ''];
const fileOf = (table: TableName): string => streamPath(path, table);

/** Flaws that are found, or what reading the rows throws. */
function flawsOf(trace: string): string[] {
  try {
    return reading(trace, (reader) => {
      const integrity = integrityOf(reader);
      assert.ok(isIntact(integrity));
      return [...integrity.flaws];
    });
  } catch (error) {
    if (error instanceof TraceError) return [error.code];
    throw error;
  }
}

/** Does something to a file, looks, and puts it back. */
function having<T>(file: string, change: (bytes: Buffer) => Uint8Array | null, look: () => T): T {
  const good = readFileSync(file);
  const bad = change(Buffer.from(good));
  try {
    if (bad === null) rmSync(file);
    else writeFileSync(file, bad);
    return look();
  } finally {
    writeFileSync(file, good);
  }
}

const flipped = (at: number, bit: number) => (bytes: Buffer) => {
  bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
  return bytes;
};

/** Length of the message at an offset without its body: prefix and metadata, which ends padded. */
const headAt = (stream: Buffer, offset: number): number => PREFIX + stream.readUInt32LE(offset + 4);

/** Whether a place lies in a text, wherever that stands. */
const isWithin = (stream: Buffer, text: Buffer, at: number): boolean => {
  const from = stream.indexOf(text, at - text.length + 1);
  return from >= 0 && from <= at;
};

/** Makes a trace whose last column of events is empty, and stores the frame of its offsets anew. */
function rewriteLast(trace: string, make: (length: number) => Uint8Array): void {
  const writer = createTrace(trace);
  const table = writer.table('event');
  for (let seq = 0; seq < 200; seq++) table.row({ seq, tick: seq, vcpu: 0, kind: seq % 3 });
  writer.finish();
  const [file, manifest] = [streamPath(trace, 'event'), manifestPath(trace)];
  const lines = readFileSync(manifest, 'utf8');
  const chunk = parseManifest(lines).stored.find((each) => each.table === 'event');
  assert.ok(chunk !== undefined && TABLES.event.columns.at(-1)?.type === 'text' && !chunk.tags.has('text'));
  const stream = readFileSync(file);
  const message = stream.subarray(chunk.offset, chunk.offset + chunk.length);
  const batch = readBatch(message);
  const places = locate(new DataView(message.buffer, message.byteOffset + PREFIX, message.readUInt32LE(4)));
  const nodes = Array.from({ length: places.nodeCount }, (_, i) => ({ rows: chunk.rows, nulls: batch.nulls(i) }));
  const buffers = Array.from({ length: places.bufferCount }, (_, i) => batch.buffer(i));
  const { unfolded } = buffers.at(-2) ?? { unfolded: null };
  assert.equal(unfolded, 4 * (chunk.rows + 1));
  buffers[buffers.length - 2] = { bytes: make(unfolded), unfolded };
  const { first, rows, tags } = chunk;
  const written = batchMessage(rows, { nodes, buffers }, description('event', first, rows, tags));
  writeFileSync(file, Buffer.concat([stream.subarray(0, chunk.offset), written, END_OF_STREAM]));
  writeFileSync(manifest, lines.replace(chunkLine(chunk), chunkLine({ ...chunk, length: written.length })));
}

before(() => {
  folder = folderOf('framing');
  path = join(folder, 'small.arrow');
  const writer = createTrace(path);
  writer.setRun('source', 'test');
  fillLong(writer, 40, 0);
  writer.finish();
});
after(() => rmSync(folder, { recursive: true, force: true }));

describe('flaws of an Arrow trace', () => {
  it('there are none as it is written, by this version or one before', () => {
    assert.deepEqual(flawsOf(path), []);
    for (const version of [1, 3, 4]) {
      reading(inPackage('test', 'traces', 'fixtures', `version-${version}.arrow`), (reader) =>
        assert.deepEqual(reader.flaws(), []),
      );
    }
  });

  it('a recorder that still writes, or was killed, leaves none', () => {
    const killed = join(folder, 'killed.arrow');
    const writer = createTrace(killed);
    fillLong(writer, 40, 0);
    writer.flush();
    try {
      reading(killed, (reader) => assert.deepEqual([reader.complete, reader.flaws()], [false, []]));
    } finally {
      writer.finish({ complete: false });
    }
    // it was writing its next batch
    const stream = streamPath(killed, 'event');
    writeFileSync(stream, Buffer.concat([readFileSync(stream), Buffer.alloc(100, 0xff)]));
    reading(killed, (reader) => assert.deepEqual(reader.flaws(), []));
  });

  it('a bit of what describes a batch', () => {
    const stream = readFileSync(fileOf('event'));
    const start = headAt(stream, 0);
    for (let i = 0; i < headAt(stream, start); i += STEP) {
      const flaws = having(fileOf('event'), flipped(start + i, i % 8), () => flawsOf(path));
      assert.equal(flaws.length, 1, `byte ${i} of the batch`);
    }
  });

  it('a bit of what nobody of ours reads in its body: empty columns, heads and ends of frames, padding', () => {
    const stream = readFileSync(fileOf('event'));
    const start = headAt(stream, 0);
    const body = start + headAt(stream, start);
    let found = 0;
    const end = stream.length - END_OF_STREAM.length;
    for (let at = body; at < end; at += STEP) {
      found += having(fileOf('event'), flipped(at, at % 8), () => flawsOf(path)).length;
    }
    // a block may say the same in two ways, which pyarrow reads alike
    const all = Math.ceil((end - body) / STEP);
    assert.ok(found >= 0.97 * all, `${found} of ${all}`);
  });

  it('a bit of a schema but for the words of what its columns are for', () => {
    const stream = readFileSync(fileOf('checkpoint'));
    const { says, columns } = TABLES.checkpoint;
    const words = [says, ...columns.map((column) => column.says)].map((text) => Buffer.from(text));
    for (let at = 0; at < headAt(stream, 0); at += STEP) {
      if (words.some((text) => isWithin(stream, text, at))) continue;
      const flaws = having(fileOf('checkpoint'), flipped(at, at % 8), () => flawsOf(path));
      assert.ok(flaws.length > 0, `byte ${at} of the schema`);
    }
  });

  it('zeros of an empty column in more bytes than there are of them, which nothing writes', () => {
    const zeros = (length: number): Buffer => {
      const frame = Buffer.alloc(7 + 4 + length + 4);
      frame.write('04224d18604082', 'hex');
      // lz4_Frame_format.md: a block with this bit in its size is stored as it is
      frame.writeUInt32LE(0x8000_0000 + length, 7);
      return frame;
    };
    // a block that leaves no room for others
    const huge = Buffer.alloc(70 << 20);
    huge.write('04224d18604082', 'hex');
    huge.writeUInt32LE(huge.length - 15, 7);
    for (const [i, make] of [zeros, () => huge].entries()) {
      const trace = join(folder, `zeros-${i}.arrow`);
      rewriteLast(trace, make);
      assert.match(flawsOf(trace).join(), /^event\.arrow: what describes its record batch at offset \d+ is damaged$/);
    }
  });

  it('marks of ends, and what comes behind them', () => {
    for (const change of [
      (bytes: Buffer) => bytes.subarray(0, -4),
      (bytes: Buffer) => bytes.subarray(0, -END_OF_STREAM.length),
      (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(8)]),
      (bytes: Buffer) => flipped(bytes.length - 1, 0)(bytes),
    ]) {
      const flaws = having(fileOf('input'), change, () => flawsOf(path));
      assert.deepEqual(flaws, ['input.arrow: its mark of the end is damaged or missing']);
    }
  });

  it('streams of empty tables that were cut to half', () => {
    for (const table of TABLE_NAMES) {
      const flaws = having(
        fileOf(table),
        (bytes) => bytes.subarray(0, bytes.length / 2),
        () => flawsOf(path),
      );
      assert.ok(flaws.length > 0, table);
    }
  });

  it('a manifest that is damaged, emptied, removed or lacks lines, whose chunks are found again', () => {
    const changes: readonly ((bytes: Buffer) => Buffer | null)[] = [
      () => null,
      () => Buffer.alloc(0),
      flipped(5, 1),
      flipped(200, 1),
      (bytes) => bytes.subarray(0, -1),
      (bytes) => bytes.subarray(0, bytes.lastIndexOf('\n', -2) + 1),
      (bytes) => Buffer.concat([bytes, Buffer.from('{')]),
    ];
    for (const [i, change] of changes.entries()) {
      const flaws = having(manifestPath(path), change, () => flawsOf(path));
      assert.match(flaws.join(), /^manifest\.jsonl: /, `change ${i}`);
    }
  });
});

describe('trapline verify', () => {
  it('does not call a trace intact that others cannot read, and exits with 2', async () => {
    const bad = join(folder, 'bad.arrow');
    cpSync(path, bad, { recursive: true });
    const file = streamPath(bad, 'input');
    truncateSync(file, statSync(file).size - END_OF_STREAM.length);
    const { code, out } = await call('verify', bad);
    assert.equal(code, 2);
    assert.match(out, /^\S+: DAMAGED, 40 events, .*\n {2}input\.arrow: its mark of the end is damaged or missing\n/);
    const { holds, flaws } = JSON.parse((await call('verify', bad, '--json')).out);
    assert.deepEqual([holds, flaws.length], [false, 1]);
    const good = join(folder, 'good.arrow');
    assert.equal((await call('convert', bad, '-o', good)).code, 0);
    assert.equal((await call('verify', good)).code, 0);
  });
});
