/** perf.data files made of real ones: in the other mode, with their compressed records unpacked, or repeated. */
import { ZstdStream } from '../../recorder/import/binary/compression.js';
import { readAttribute } from '../../recorder/import/binary/perf-attr.js';
import { bytesInMemory, Scanner } from '../../recorder/import/binary/scanner.js';

const HEADER = 8;
const COMPRESSED = 81;
const COMPRESSED2 = 83;
const SAMPLE = 9;
const ATTRIBUTE = 64;
const FEATURE = 80;
/** Bits of features that a pipe has otherwise: the formats, the ids of builds. */
const OTHERWISE = [1, 2];
const COMMAND = 11;
const TRACING_DATA = 66;
const FINISHED_ROUND = 68;
const MOST = 64 << 20;

const number = (file: Buffer, at: number): number => Number(file.readBigUInt64LE(at));

/** Records of [from, to), those that are compressed unpacked. */
function records(file: Buffer, from: number, to: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  const stream = new ZstdStream((data) => out.push(data.slice()));
  for (let at = from; at + HEADER <= to; ) {
    const size = file.readUInt16LE(at + 6);
    if (file.readUInt32LE(at) !== COMPRESSED) out.push(file.subarray(at, at + size));
    else if (stream.push(file.subarray(at + HEADER, at + size), MOST) !== null) throw new Error('not compressed');
    at += size;
  }
  stream.close();
  return out;
}

/** Bytes of records, cut into them. */
function whole(bytes: Buffer): Buffer[] {
  const out: Buffer[] = [];
  for (let at = 0; at + HEADER <= bytes.length; at += bytes.readUInt16LE(at + 6))
    out.push(bytes.subarray(at, at + bytes.readUInt16LE(at + 6)));
  return out;
}

/** The same file without compressed records, of which the first `most` of each type are kept. */
export function asPlain(file: Buffer, most: (type: number) => number = () => Number.POSITIVE_INFINITY): Buffer {
  const [from, size] = [number(file, 40), number(file, 48)];
  const seen = new Map<number, number>();
  const data = Buffer.concat(
    whole(Buffer.concat(records(file, from, from + size))).filter((record) => {
      const type = record.readUInt32LE(0);
      seen.set(type, (seen.get(type) ?? 0) + 1);
      return (seen.get(type) ?? 0) <= most(type);
    }),
  );
  return withData(file, data);
}

/**
 * A file without compressed records, its records now in compressed ones as blocks that are stored (RFC 8878, 3.1.1.2). The
 * last compressed record ends with a block of the reserved type, which no decoder takes.
 */
export function asDamaged(file: Buffer): Buffer {
  const [from, size] = [number(file, 40), number(file, 48)];
  const blocks: Buffer[] = [];
  for (let at = from; at < from + size; at += BLOCK) {
    const part = file.subarray(at, Math.min(at + BLOCK, from + size));
    blocks.push(Buffer.concat([threeBytes(part.length << 3), part]));
  }
  const data: Buffer[] = [];
  for (let i = 0; i < blocks.length; i += BLOCKS) {
    const start = i === 0 ? [Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0, 7 << 3])] : [];
    const end = i + BLOCKS >= blocks.length ? [threeBytes((1 << 3) | (3 << 1)), Buffer.alloc(1)] : [];
    const body = Buffer.concat([...start, ...blocks.slice(i, i + BLOCKS), ...end]);
    const head = Buffer.alloc(HEADER);
    head.writeUInt32LE(COMPRESSED, 0);
    head.writeUInt16LE(HEADER + body.length, 6);
    data.push(head, body);
  }
  return withData(file, Buffer.concat(data));
}

/** Bytes of a block, and blocks of a compressed record. */
const BLOCK = 8 << 10;
const BLOCKS = 6;

function threeBytes(value: number): Buffer {
  const out = Buffer.alloc(3);
  out.writeUIntLE(value, 0, 3);
  return out;
}

/**
 * The same file with its compressed records as perf writes them since 6.16: a multiple of 8 bytes long, and before their
 * data its length (tools/lib/perf/include/perf/event.h, perf_record_compressed2).
 */
export function asAligned(file: Buffer): Buffer {
  const [from, size] = [number(file, 40), number(file, 48)];
  const data = whole(file.subarray(from, from + size)).map((record) => {
    if (record.readUInt32LE(0) !== COMPRESSED) return record;
    const body = record.subarray(HEADER);
    const out = Buffer.alloc((HEADER + 8 + body.length + 7) & ~7);
    record.copy(out, 0, 0, HEADER);
    out.writeUInt32LE(COMPRESSED2, 0);
    out.writeUInt16LE(out.length, 6);
    out.writeBigUInt64LE(BigInt(body.length), HEADER);
    body.copy(out, HEADER + 8);
    return out;
  });
  return withData(file, Buffer.concat(data));
}

/** The same file with its compressed records alone. */
export function asShort(file: Buffer): Buffer {
  const [from, size] = [number(file, 40), number(file, 48)];
  const all = whole(file.subarray(from, from + size));
  return withData(file, Buffer.concat(all.filter((each) => each.readUInt32LE(0) >= ATTRIBUTE)));
}

/** The same file with other records. */
function withData(file: Buffer, data: Uint8Array): Buffer {
  const [from, size] = [number(file, 40), number(file, 48)];
  const moved = data.length - size;
  const out = Buffer.concat([file.subarray(0, from), data, file.subarray(from + size)]);
  out.writeBigUInt64LE(BigInt(data.length), 48);
  let at = from + data.length;
  for (let bit = 0; bit < 256; bit++) {
    if (((file[72 + (bit >> 3)] ?? 0) & (1 << (bit & 7))) === 0) continue;
    out.writeBigUInt64LE(BigInt(number(out, at) + moved), at);
    at += 16;
  }
  return out;
}

/** A plain file whose samples come `copies` times, their times moved on; each copy is a round. */
export function repeated(file: Buffer, copies: number): Buffer {
  const [from, size] = [number(file, 40), number(file, 48)];
  const attribute = new Scanner(bytesInMemory(file, 'source'), number(file, 24), file.length, true);
  const { time, trailer } = readAttribute(attribute, number(file, 16) - 16).layout;
  const all = whole(file.subarray(from, from + size));
  const samples = all.filter((record) => record.readUInt32LE(0) === SAMPLE);
  const begin = samples[0]?.readBigUInt64LE(time) ?? 0n;
  // what the kernel says of threads goes on behind the last sample
  const times = all.flatMap((record) => {
    const type = record.readUInt32LE(0);
    if (type === SAMPLE) return [record.readBigUInt64LE(time)];
    return type < ATTRIBUTE && trailer.time < 0 ? [record.readBigUInt64LE(record.length + trailer.time)] : [];
  });
  const span = times.reduce((latest, each) => (each > latest ? each : latest), begin) - begin + 1_000_000n;
  const round = Buffer.alloc(HEADER);
  round.writeUInt32LE(FINISHED_ROUND, 0);
  round.writeUInt16LE(HEADER, 6);
  const parts: Buffer[] = [...all, round];
  for (let copy = 1; copy < copies; copy++) {
    for (const sample of samples) {
      const moved = Buffer.from(sample);
      moved.writeBigUInt64LE(sample.readBigUInt64LE(time) + span * BigInt(copy), time);
      parts.push(moved);
    }
    parts.push(round);
  }
  return withData(file, Buffer.concat(parts));
}

/** What a file says of its features, behind its data: bit, and where it lies. */
function features(file: Buffer): { readonly bit: number; readonly from: number; readonly size: number }[] {
  const set = Array.from({ length: 256 }, (_, bit) => bit).filter(
    (bit) => ((file[72 + (bit >> 3)] ?? 0) & (1 << (bit & 7))) !== 0,
  );
  const table = number(file, 40) + number(file, 48);
  return set.map((bit, i) => ({ bit, from: number(file, table + 16 * i), size: number(file, table + 16 * i + 8) }));
}

/** The same file as if another command had recorded it: its feature of the command line (HEADER_CMDLINE, 11) is another. */
export function withCommand(file: Buffer, words: readonly string[]): Buffer {
  const index = features(file).findIndex(({ bit }) => bit === COMMAND);
  if (index < 0) throw new Error('a file without its command');
  const count = Buffer.alloc(4);
  count.writeUInt32LE(words.length);
  const parts = words.map((word) => {
    const text = Buffer.alloc(4 + (word.length + 1 + 63) - ((word.length + 1 + 63) % 64)); // perf fills words up (NAME_ALIGN)
    text.writeUInt32LE(text.length - 4);
    text.write(word, 4, 'latin1');
    return text;
  });
  const command = Buffer.concat([count, ...parts]);
  const out = Buffer.concat([file, command]);
  const entry = number(file, 40) + number(file, 48) + 16 * index;
  out.writeBigUInt64LE(BigInt(file.length), entry);
  out.writeBigUInt64LE(BigInt(command.length), entry + 8);
  return out;
}

/**
 * perf.data of file mode as `perf record -o -` writes it: attributes, features and formats as records, then the same
 * data (tools/perf/Documentation/perf.data-file-format.txt, PERF_RECORD_HEADER_FEATURE).
 */
export function asPipe(file: Buffer): Buffer {
  const [attributeSize = 0, attributes = 0, attributesSize = 0, data = 0, size = 0] = [16, 24, 32, 40, 48].map((at) =>
    number(file, at),
  );
  const record = (type: number, body: Buffer): Buffer => {
    const head = Buffer.alloc(HEADER);
    head.writeUInt32LE(type, 0);
    head.writeUInt16LE(HEADER + body.length, 6);
    return Buffer.concat([head, body]);
  };
  const parts: Uint8Array[] = [Buffer.from('PERFILE2\x10\0\0\0\0\0\0\0', 'latin1')];
  for (let at = attributes; at < attributes + attributesSize; at += attributeSize) {
    const ids = number(file, at + attributeSize - 16);
    const body = file.subarray(at, at + attributeSize - 16);
    // the attribute says its own size; older ones say less than their section has
    const list = file.subarray(ids, ids + number(file, at + attributeSize - 8));
    parts.push(record(ATTRIBUTE, Buffer.concat([body, list])));
  }
  for (const { bit, from, size: length } of features(file)) {
    if (OTHERWISE.includes(bit)) continue;
    const body = Buffer.alloc(8 + length);
    body.writeUInt32LE(bit, 0);
    file.copy(body, 8, from, from + length);
    parts.push(record(FEATURE, body));
  }
  const tracing = number(file, data + size);
  const block = file.subarray(tracing, tracing + number(file, data + size + 8));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(block.length);
  parts.push(record(TRACING_DATA, length), block, Buffer.alloc((8 - (block.length & 7)) & 7));
  parts.push(file.subarray(data, data + size));
  return Buffer.concat(parts);
}
