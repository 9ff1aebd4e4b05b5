/** The message that begins the stream of a table: names, types and uses of its columns. */
import { createRequire } from 'node:module';
import type { DataType } from 'apache-arrow';
import { WIDTH } from '../column.js';
import { hasLanes } from '../form.js';
import { type Column, FORMAT_VERSION, TABLES, type TableName } from '../schema.js';
import { field, follow, stringAt } from './flatbuffer.js';
import { framed, PREFIX } from './ipc.js';
import { Malformed } from './malformed.js';

const FORMAT = 'trapline.format';
const SAYS = 'trapline.says';

type Arrow = typeof import('apache-arrow');
type Messages = typeof import('apache-arrow/ipc/metadata/message');

const require = createRequire(import.meta.url);
let loaded: (Arrow & Pick<Messages, 'Message'>) | null = null;

/** Loaded with the first table: that takes longer than most of what does without. */
function arrow(): Arrow & Pick<Messages, 'Message'> {
  if (loaded === null) {
    const { Message } = require('apache-arrow/ipc/metadata/message') as Messages;
    loaded = { ...(require('apache-arrow') as Arrow), Message };
  }
  return loaded;
}

function arrowType(column: Column): DataType {
  const { Binary, Field, Struct, Uint8, Uint16, Uint32, Utf8 } = arrow();
  if (column.type === 'text') return new Utf8();
  if (column.type === 'bytes') return new Binary();
  if (!hasLanes(column.type))
    return column.type === 'u8' ? new Uint8() : column.type === 'u16' ? new Uint16() : new Uint32();
  const lanes = Array.from({ length: WIDTH[column.type] }, (_, i) => new Field(`b${i}`, new Uint8(), false));
  return new Struct(lanes);
}

/** What is said of a table and its columns, besides what their types say. */
interface Words {
  readonly version: string;
  readonly says: string;
  /** Of each column. */
  readonly columns: readonly string[];
}

function encoded(table: TableName, columns: readonly Column[], words: Words): Uint8Array {
  const { Field, Message, Schema } = arrow();
  const fields = columns.map((column, i) => {
    const metadata = new Map([
      ['trapline.type', column.type],
      ['trapline.says', words.columns[i] ?? ''],
    ]);
    if (hasLanes(column.type))
      metadata.set('trapline.lanes', 'value = b0 + 256 b1 + 65536 b2 + ..., little-endian bytes');
    return new Field(column.name, arrowType(column), column.nullable, metadata);
  });
  const metadata = new Map([
    [FORMAT, words.version],
    ['trapline.table', table],
    [SAYS, words.says],
  ]);
  return framed(Message.encode(Message.from(new Schema(fields, metadata))));
}

/** The schema message that begins the stream of a table. Field metadata says the logical type and the column's use. */
export function schemaMessage(table: TableName): Uint8Array {
  const { columns, says } = TABLES[table];
  return encoded(table, columns, { version: String(FORMAT_VERSION), says, columns: columns.map((each) => each.says) });
}

/**
 * Whether the metadata of a schema message is that of these columns, byte for byte. What says their use is taken from it:
 * the words may be those of another version.
 */
export function isSchemaOf(
  metadata: Uint8Array,
  {
    table,
    columns,
    version,
  }: { readonly table: TableName; readonly columns: readonly Column[]; readonly version: number },
): boolean {
  const words = wordsOf(metadata);
  if (words === null) return false;
  const made = encoded(table, columns, { ...words, version: String(version) });
  return Buffer.compare(made.subarray(PREFIX), metadata) === 0;
}

/** The format version that the metadata of a schema message says, or null. */
export function formatOf(metadata: Uint8Array): number | null {
  const said = wordsOf(metadata)?.version ?? '';
  return /^[1-9]\d{0,8}$/.test(said) ? Number(said) : null;
}

/** Fields of the tables Message, Schema and Field: Arrow's Message.fbs and Schema.fbs. */
const MESSAGE = { header: 2 } as const;
const SCHEMA = { fields: 1, custom: 2 } as const;
const FIELD = { custom: 6 } as const;
const PAIR = { key: 0, value: 1 } as const;

/**
 * The words of a schema message; null where it has none. Read here because apache-arrow's reader (21.2) believes counts
 * that were made to deceive, and loops for them.
 */
function wordsOf(metadata: Uint8Array): Words | null {
  const view = new DataView(metadata.buffer, metadata.byteOffset, metadata.byteLength);
  try {
    const schema = tableAt(view, follow(view, 0), MESSAGE.header);
    const said = customOf(view, schema, SCHEMA.custom);
    const columns = tablesOf(view, schema, SCHEMA.fields).map((each) => customOf(view, each, FIELD.custom).get(SAYS));
    return {
      version: said.get(FORMAT) ?? '',
      says: said.get(SAYS) ?? '',
      columns: columns.map((says) => says ?? ''),
    };
  } catch (error) {
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function tableAt(view: DataView, table: number, id: number): number {
  const at = field(view, table, id);
  if (at === null) throw new Malformed('a field of the schema is missing');
  return follow(view, at);
}

/** Tables of a vector: offsets of 4 bytes behind their count. */
function tablesOf(view: DataView, table: number, id: number): number[] {
  const vector = tableAt(view, table, id);
  const count = view.getUint32(vector, true);
  if (vector + 4 + 4 * count > view.byteLength) throw new Malformed('a vector ends behind the schema');
  return Array.from({ length: count }, (_, i) => follow(view, vector + 4 + 4 * i));
}

const customOf = (view: DataView, table: number, id: number): ReadonlyMap<string, string> =>
  new Map(
    tablesOf(view, table, id).map((pair) => {
      const [key, value] = [PAIR.key, PAIR.value].map((part) => stringAt(view, tableAt(view, pair, part)));
      return [Buffer.from(key ?? []).toString(), Buffer.from(value ?? []).toString()];
    }),
  );
