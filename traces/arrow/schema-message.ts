/** The message that begins the stream of a table: names, types and uses of its columns. */
import { Binary, type DataType, Field, Schema, Struct, Uint8, Uint16, Uint32, Utf8 } from 'apache-arrow';
import { Message } from 'apache-arrow/ipc/metadata/message';
import { WIDTH } from '../column.js';
import { hasLanes } from '../form.js';
import { type Column, FORMAT_VERSION, TABLES, type TableName } from '../schema.js';
import { framed } from './ipc.js';

function arrowType(column: Column): DataType {
  if (column.type === 'text') return new Utf8();
  if (column.type === 'bytes') return new Binary();
  if (!hasLanes(column.type))
    return column.type === 'u8' ? new Uint8() : column.type === 'u16' ? new Uint16() : new Uint32();
  const lanes = Array.from({ length: WIDTH[column.type] }, (_, i) => new Field(`b${i}`, new Uint8(), false));
  return new Struct(lanes);
}

/** The schema message that begins the stream of a table. Field metadata says the logical type and the column's use. */
export function schemaMessage(table: TableName): Uint8Array {
  const fields = TABLES[table].columns.map((column) => {
    const metadata = new Map([
      ['trapline.type', column.type],
      ['trapline.says', column.says],
    ]);
    if (hasLanes(column.type))
      metadata.set('trapline.lanes', 'value = b0 + 256 b1 + 65536 b2 + ..., little-endian bytes');
    return new Field(column.name, arrowType(column), column.nullable, metadata);
  });
  const metadata = new Map([
    ['trapline.format', String(FORMAT_VERSION)],
    ['trapline.table', table],
    ['trapline.says', TABLES[table].says],
  ]);
  return framed(Message.encode(Message.from(new Schema(fields, metadata))));
}

/** The format version that the metadata of a schema message says, or null. */
export function formatOf(metadata: Uint8Array): number | null {
  try {
    const header = Message.decode(metadata).header();
    const said = header instanceof Schema ? header.metadata.get('trapline.format') : undefined;
    return said !== undefined && /^[1-9]\d{0,8}$/.test(said) ? Number(said) : null;
  } catch {
    // Whatever the bytes are, they are no schema.
    return null;
  }
}
