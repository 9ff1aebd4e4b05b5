import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { CompressionType, compressionRegistry, type StructRow, tableFromIPC } from 'apache-arrow';
import fc from 'fast-check';
import { decompressFrameSync } from 'lz4-napi';
import { decodeBatch } from '../../traces/arrow/batch.js';
import { openFile, readBytes } from '../../traces/arrow/files.js';
import { END_OF_STREAM } from '../../traces/arrow/ipc.js';
import { Stream } from '../../traces/arrow/stream.js';
import { joinLanes, splitLanes } from '../../traces/lanes.js';
import { createTrace } from '../../traces/open.js';
import { TABLE_NAMES, TABLES } from '../../traces/schema.js';
import { packValidity, unpackValidity } from '../../traces/validity.js';
import { fillLong, reading, scratch } from './rows.js';

/** A number from its lanes, as the metadata of the file says. */
const joined = (lanes: StructRow): bigint => {
  let value = 0n;
  let shift = 0n;
  for (const [, byte] of lanes) {
    value |= BigInt(byte) << shift;
    shift += 8n;
  }
  return value;
};

test("apache-arrow's own reader finds the same rows in each stream", (t) => {
  compressionRegistry.set(CompressionType.LZ4_FRAME, { decode: (data) => decompressFrameSync(Buffer.from(data)) });
  const path = join(scratch(t), 'plain.arrow');
  const writer = createTrace(path);
  fillLong(writer, 9000, 70_000);
  writer.table('message').row({ vcpu: 1, protocol: 'log', channel: 2, direction: 1, body: Uint8Array.of(9, 8) });
  writer.finish();
  reading(path, (reader) => {
    for (const name of TABLE_NAMES) {
      const table = tableFromIPC(readFileSync(join(path, `${name}.arrow`)));
      assert.equal(table.numRows, reader.rows(name));
      assert.equal(table.schema.metadata.get('trapline.table'), name);
      assert.deepEqual(
        table.schema.fields.map((field) => field.name),
        TABLES[name].columns.map((column) => column.name),
      );
      for (const chunk of reader.chunks(name)) {
        for (let i = 0; i < chunk.rows; i += 97) {
          const theirs = table.get(chunk.first + i);
          for (const { name: column, type } of TABLES[name].columns) {
            const ours = chunk.row(i)[column] ?? null;
            const cell = theirs?.[column] ?? null;
            const wide = type !== 'u8' && type !== 'text' && type !== 'bytes';
            if (cell === null || ours === null) assert.equal(cell, ours);
            else if (wide) assert.equal(joined(cell), typeof ours === 'number' ? BigInt(ours) : ours);
            else
              assert.deepEqual(
                cell instanceof Uint8Array ? [...cell] : cell,
                ours instanceof Uint8Array ? [...ours] : ours,
              );
          }
        }
      }
    }
  });
});

const cellsOf = (width: 4 | 8) =>
  fc.array(
    fc.record({
      cell: fc.oneof(fc.bigInt({ min: 0n, max: 3n }), fc.bigInt({ min: 0n, max: 2n ** BigInt(8 * width) - 1n })),
      valid: fc.boolean(),
    }),
    { minLength: 1, maxLength: 100 },
  );

for (const width of [4, 8] as const) {
  test(`lanes of ${8 * width}-bit cells: byte i of each cell, and back again`, () => {
    fc.assert(
      fc.property(cellsOf(width), (rows) => {
        const values = rows.map(({ cell }) => cell);
        const bytes = Buffer.alloc(width * rows.length);
        values.forEach((cell, i) => {
          for (let b = 0; b < width; b++) bytes[width * i + b] = Number((cell >> BigInt(8 * b)) & 0xffn);
        });
        const words = new Uint32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
        const lanes = splitLanes(words, width, null).map((lane) => (typeof lane === 'number' ? lane : lane.slice()));
        lanes.forEach((lane, b) => {
          const expected = values.map((cell) => Number((cell >> BigInt(8 * b)) & 0xffn));
          assert.deepEqual(typeof lane === 'number' ? expected.map(() => lane) : [...lane], expected);
          if (typeof lane !== 'number') assert.ok(new Set(lane).size > 1, 'a constant lane is given as its byte');
        });
        assert.deepEqual(joinLanes(lanes, rows.length, null), words);
        if (!rows.some(({ valid }) => valid)) return;
        const valid = Uint8Array.from(rows, (row) => (row.valid ? 1 : 0));
        const filled = splitLanes(words, width, valid).map((lane) => (typeof lane === 'number' ? lane : lane.slice()));
        const cleared = words.map((word, i) => (valid[Math.floor((4 * i) / width)] === 1 ? word : 0));
        assert.deepEqual(joinLanes(filled, rows.length, valid), cleared);
      }),
    );
  });
}

test('validity: a bit a row, counted, and back again', () => {
  fc.assert(
    fc.property(fc.uint8Array({ min: 0, max: 1, minLength: 1, maxLength: 200 }), (valid) => {
      const { nulls, bits } = packValidity(valid);
      assert.equal(nulls, valid.filter((byte) => byte === 0).length);
      if (bits === null) assert.ok(nulls === 0 || nulls === valid.length);
      else assert.deepEqual(unpackValidity(bits, valid.length), valid);
    }),
  );
});

test('a record batch with bytes changed at random is decoded or refused, in the memory that its rows take', () => {
  const path = mkdtempSync(join(tmpdir(), 'trapline-batch-'));
  try {
    const writer = createTrace(join(path, 'batch.arrow'));
    fillLong(writer, 300, 0);
    writer.finish();
    const { start, file } = new Stream(openFile(join(path, 'batch.arrow', 'event.arrow')), 'event');
    const length = file.size - start - END_OF_STREAM.length;
    const good = readBytes(file, start, length);
    closeSync(file.descriptor);
    const { columns } = TABLES.event;
    assert.equal(decodeBatch(good, columns, columns, 300).length, columns.length);
    const change = fc.record({ at: fc.nat(length - 1), byte: fc.constantFrom(0, 1, 0x7f, 0x80, 0xff) });
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 8 }), (changes) => {
        const bad = good.slice();
        for (const { at, byte } of changes) bad[at] = byte;
        try {
          for (const { vector } of decodeBatch(bad, columns, columns, 300)) assert.equal(vector.rows, 300);
        } catch (error) {
          assert.ok(error instanceof Error && !(error instanceof TypeError), String(error));
        }
      }),
      { numRuns: 500 },
    );
  } finally {
    rmSync(path, { recursive: true });
  }
});
