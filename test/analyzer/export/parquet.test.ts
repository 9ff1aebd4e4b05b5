/** Datasets of Parquet files, read back by a reader that is not ours. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type FileMetaData, parquetMetadata, parquetReadObjects } from 'hyparquet';
import { ByteWriter, type Writer } from 'hyparquet-writer';
import { type DatasetTable, exportParquet } from '../../../analyzer/export/parquet.js';
import { TABLES } from '../../../traces/schema.js';
import type { Row } from '../../../traces/store.js';
import { rowOf } from '../../traces/rows.js';
import { rowsTrace } from './traces.js';

/** A dataset in memory. */
class Folder {
  readonly #files = new Map<string, Writer>();
  readonly open = (path: string): Writer => {
    const file = new ByteWriter();
    assert.ok(!this.#files.has(path), `${path} is opened twice`);
    this.#files.set(path, file);
    return file;
  };
  get paths(): string[] {
    return [...this.#files.keys()].sort();
  }
  bytes(path: string): ArrayBuffer {
    return this.#files.get(path)?.getBuffer() ?? new ArrayBuffer(0);
  }
  metadata(path: string): FileMetaData {
    return parquetMetadata(this.bytes(path));
  }
  async rows(path: string): Promise<Record<string, unknown>[]> {
    return parquetReadObjects({ file: this.bytes(path), utf8: false });
  }
}

const FIRST_KIND = 1;
/** These traces have no dictionary: a kind is its number. */
const partitionOf = (kind: number): string => `event/kind=${kind}/part-0.parquet`;

/** A cell as readers of Parquet have it. */
function asRead(value: unknown): unknown {
  if (value === null || value === undefined) return null;
  if (typeof value === 'bigint' || typeof value === 'number') return BigInt(value);
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
}

const plain = (row: Record<string, unknown>, names: readonly string[]): unknown[] =>
  names.map((name) => asRead(row[name]));

async function exported(t: Parameters<typeof rowsTrace>[0], rows: readonly Row[], tables: readonly DatasetTable[]) {
  const folder = new Folder();
  const result = exportParquet(rowsTrace(t, rows), tables, folder.open);
  return { folder, result };
}

test('every cell of every event is read back, in the folder of its kind, in order', async (t) => {
  const eventsOf = fc.array(
    rowOf('event').map((row) => ({ ...row, kind: Number(row.kind) % 4 })),
    { maxLength: 60 },
  );
  await fc.assert(
    fc.asyncProperty(eventsOf, async (drafts) => {
      const rows = drafts.map((row, seq) => ({ ...row, seq: BigInt(seq) }));
      const { folder, result } = await exported(t, rows, ['event']);
      assert.deepEqual([result.written, result.damage], [rows.length, null]);
      const kinds = [...new Set(rows.map(({ kind }) => kind))];
      assert.deepEqual(folder.paths, kinds.map(partitionOf).sort());
      const names = TABLES.event.columns.map(({ name }) => name).filter((name) => name !== 'kind');
      for (const kind of kinds) {
        const read = await folder.rows(partitionOf(kind));
        assert.deepEqual(
          read.map((row) => plain(row, names)),
          rows.filter((row) => row.kind === kind).map((row) => plain(row, names)),
        );
        assert.ok(read.every((row) => row.kind_code === kind));
      }
    }),
    { numRuns: 30 },
  );
});

test('reasons have names by their own architecture, failed entries say so', async (t) => {
  const event = (isa: number, reason: bigint): Row => ({ seq: 0n, vcpu: 0, kind: FIRST_KIND, isa, reason });
  const rows = [event(1, 10n), event(2, 0x72n), event(1, 0x8000_0021n), { seq: 3n, vcpu: 0, kind: FIRST_KIND }];
  const { folder } = await exported(t, rows, ['event']);
  const read = await folder.rows(partitionOf(FIRST_KIND));
  assert.deepEqual(
    read.map((row) => row.reason_name ?? null),
    ['CPUID', 'CPUID', 'INVALID_STATE FAILED_VMENTRY', null],
  );
});

test('unsigned columns say that they are, and have statistics without their sign', async (t) => {
  const rows = [1n, 2n ** 64n - 1n, 2n ** 63n].map((rip, i) => ({ seq: BigInt(i), vcpu: 0, kind: FIRST_KIND, rip }));
  const { folder } = await exported(t, rows, ['event']);
  const { schema, row_groups } = folder.metadata(partitionOf(FIRST_KIND));
  assert.equal(schema.find(({ name }) => name === 'rip')?.converted_type, 'UINT_64');
  const column = row_groups[0]?.columns.find(({ meta_data }) => meta_data?.path_in_schema.join() === 'rip');
  const { min_value: least, max_value: most } = column?.meta_data?.statistics ?? {};
  const unsigned = (value: unknown): bigint => BigInt.asUintN(64, BigInt(value as bigint));
  assert.deepEqual([unsigned(least), unsigned(most)], [1n, 2n ** 64n - 1n]);
});

test('row groups are bounded, and hold all rows', async (t) => {
  const rows = Array.from({ length: 150_000 }, (_, i) => ({
    seq: BigInt(i),
    vcpu: 0,
    kind: 1 + (i % 3 === 0 ? 1 : 0),
  }));
  const { folder } = await exported(t, rows, ['event']);
  for (const [kind, count] of [
    [1, 100_000],
    [2, 50_000],
  ] as const) {
    const { row_groups: groups, num_rows: total } = folder.metadata(partitionOf(kind));
    assert.equal(Number(total), count);
    assert.ok(groups.every(({ num_rows: group }) => Number(group) <= 65_536));
  }
});

test('a hostile name of a kind is no path', async (t) => {
  const reader = rowsTrace(t, [{ seq: 0n, vcpu: 0, kind: FIRST_KIND }]);
  const folder = new Folder();
  const hostile = Object.create(reader, { name: { value: () => '../../etc/passwd' } }) as typeof reader;
  exportParquet(
    new Proxy(reader, { get: (target, key) => (key === 'name' ? hostile.name : bound(target, key)) }),
    ['event'],
    folder.open,
  );
  assert.deepEqual(folder.paths, ['event/kind=______etc_passwd/part-0.parquet']);
});

function bound(target: object, key: string | symbol): unknown {
  const value: unknown = Reflect.get(target, key, target);
  return typeof value === 'function' ? value.bind(target) : value;
}
