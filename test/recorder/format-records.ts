/** Records of tracepoints, made of their format files: every field has a value of its own. */
import { type EventFormat, type Field, Formats } from '../../recorder/import/binary/formats.js';
import { Intake } from '../../recorder/import/binary/intake.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import type { Row } from '../../traces/store.js';
import { printed, type Values } from './kernel-print.js';
import { version6 } from './trace-dat-files.js';

export interface Made {
  readonly format: EventFormat;
  /** The format file. */
  readonly source: string;
  readonly bytes: Uint8Array;
  readonly values: Values;
}

/** `high`: the largest kind of value that the field has, signs negative; `low`: small ones, and no truth. */
export type Round = 'high' | 'low';

const isText = (field: Field): boolean =>
  field.type.includes('char') && (field.dynamic !== null || field.count !== null);

/** A value that no other field has, by the field's place among the others. */
function numberOf(field: Field, place: number, round: Round): bigint {
  if (field.type === 'bool') return round === 'high' ? 1n : 0n;
  const own = BigInt(place + 1);
  if (field.size === 1) return 0x20n + own;
  if (round === 'low') return 0x60n + own;
  if (field.signed) return -0x20n - own;
  // 48 bits at the most, so that numbers of pages are good ones
  return ({ 2: 0x1100n, 4: 0xa1b2_c300n, 8: 0x7654_3210_a900n }[field.size] ?? 0n) + own * 0x11n;
}

function put(view: DataView, { offset, size }: Field, value: bigint): void {
  for (let i = 0; i < size; i++) view.setUint8(offset + i, Number((value >> BigInt(8 * i)) & 0xffn));
}

/** Fields that records of all tracepoints have. */
const COMMON: { readonly [field: string]: (format: EventFormat) => bigint } = {
  common_type: ({ id }) => BigInt(id),
  common_pid: () => 1n,
};

/** Makes a record; `given` has the values of fields that cannot be any number. */
export function makeRecord(format: EventFormat, source: string, round: Round, given: Values = {}): Made {
  const message = String(given.msg ?? 'a message');
  const tail = Buffer.from(`${message}\0`);
  const bytes = new Uint8Array(format.size + tail.length);
  const view = new DataView(bytes.buffer);
  const values: { [field: string]: Values[string] } = {};
  format.fields.forEach((field, i) => {
    const { name } = field;
    if (name.startsWith('common_')) put(view, field, COMMON[name]?.(format) ?? 0n);
    if (name.startsWith('common_')) return;
    if (isText(field)) {
      view.setUint32(field.offset, (tail.length << 16) | format.size, true);
      bytes.set(tail, format.size);
      values[name] = message;
    } else if (field.count !== null) {
      values[name] = Uint8Array.from({ length: field.size }, (_, at) => 0xc0 + at);
      bytes.set(values[name] as Uint8Array, field.offset);
    } else {
      const value = given[name] ?? numberOf(field, i, round);
      values[name] = value;
      put(view, field, BigInt(value as bigint));
    }
  });
  return { format, source, bytes, values };
}

/** A page of a ring buffer with these records, a microsecond one behind the other: Documentation/trace/ring-buffer-map.rst. */
function pageOf(records: readonly Made[], at: number): Uint8Array {
  const page = Buffer.alloc(PAGE);
  page.writeBigUInt64LE(BigInt(1_000_000_000 + 1000 * at), 0);
  let offset = 16;
  for (const [i, { bytes }] of records.entries()) {
    const size = Math.ceil(bytes.length / 4) * 4;
    const delta = (i === 0 ? 0 : 1000) * 32;
    const long = size > 112;
    page.writeUInt32LE(delta + (long ? 0 : size / 4), offset);
    if (long) page.writeUInt32LE(size + 4, offset + 4);
    offset += long ? 8 : 4;
    page.set(bytes, offset);
    offset += size;
  }
  page.writeBigUInt64LE(BigInt(offset - 16), 8);
  return page;
}

const PAGE = 4096;
/** No record is longer than 200 bytes. */
const PER_PAGE = 20;

/** A trace.dat with these records in one thread, in their order. */
export function traceDatOf(records: readonly Made[]): Uint8Array {
  const pages: Uint8Array[] = [];
  for (let at = 0; at < records.length; at += PER_PAGE) pages.push(pageOf(records.slice(at, at + PER_PAGE), at));
  const formats = new Map(records.map(({ format: { id, system }, source }) => [id, { system, text: source }]));
  return version6({
    little: true,
    pageSize: PAGE,
    formats: [...formats.values()],
    commands: [[1, 't']],
    cpus: [pages],
  });
}

const STATEMENT = /\(\{.*\}\)/;

/** What the kernel prints of a shadow page, whose format is a statement and no expression. */
function shadowPage({ mmu_valid_gen, gfn, role, root_count, unsync }: Values): string {
  const level = BigInt(role as bigint) & 15n;
  return (
    `sp gen ${mmu_valid_gen} gfn ${(gfn as bigint).toString(16)} l${level} 8-byte q0 direct wux nxe ad ` +
    `root ${root_count} ${unsync === 0n ? 'sync' : 'unsync'}`
  );
}

/** The text that the kernel prints of it. */
export function textOf({ source, values }: Made): string {
  return printed(
    source.replace(STATEMENT, () => JSON.stringify(shadowPage(values))),
    values,
  );
}

/** Rows of an import of the records, one behind the other in one thread, and the names of their tracepoints. */
export function importRecords(records: readonly Made[]): {
  readonly rows: readonly Row[];
  readonly writer: StreamWriter;
} {
  const rows: Row[] = [];
  const writer = new StreamWriter((chunk) => {
    for (let i = 0; i < chunk.rows; i++) rows.push({ ...chunk.row(i) });
  });
  const formats = new Formats();
  const intake = new Intake(() => writer, true, {});
  records.forEach(({ format, source, bytes }, i) => {
    formats.add(format.system, source);
    const program = intake.program(format.id, formats);
    const time = 1_000_000_000 + 1000 * i;
    intake.record(program, new DataView(bytes.buffer), 0, bytes.length, time, 0, true, 1, -1, 0);
  });
  intake.finish(memorySource(new Uint8Array(0)), 'test');
  return { rows, writer };
}
