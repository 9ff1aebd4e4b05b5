/** Where the numbers and units of binary recordings lie, for mutations that go where files are believed. */
import { bytesInMemory } from '../../recorder/import/binary/scanner.js';
import { TraceDat } from '../../recorder/import/binary/tracedat.js';
import { recordsOf } from '../recorder/xentrace-files.js';
import type { Anatomy } from './mutate.js';

type Numbers = { at: number; size: 1 | 2 | 4 | 8 }[];
type Units = { from: number; to: number }[];

/** Events of a page that are taken for units; more would drown what is rarer. */
const EVENTS_OF_A_PAGE = 12;
/** Bytes of a record of xentrace that are taken for numbers. */
const WORDS = 16;
/** Sizes of format texts that are taken for numbers. */
const FORMATS = 12;

/** perf.data of either mode. */
export function perfAnatomy(file: Uint8Array): Anatomy {
  const bytes = Buffer.from(file);
  const numbers: Numbers = [{ at: 8, size: 8 }];
  const units: Units = [];
  const pipe = bytes.readBigUInt64LE(8) === 16n;
  const word = (at: number): number => Number(bytes.readBigUInt64LE(at));
  let at = 16;
  let end = bytes.length;
  if (!pipe) {
    for (let field = 8; field < 104; field += 8) numbers.push({ at: field, size: 8 });
    const [size, from, length] = [word(16), word(24), word(32)] as const;
    for (let attribute = from; attribute < from + length; attribute += size) {
      units.push({ from: attribute, to: attribute + size });
      attributeNumbers(attribute, numbers);
      numbers.push({ at: attribute + size - 16, size: 8 }, { at: attribute + size - 8, size: 8 });
    }
    at = word(40);
    end = at + word(48);
    for (let feature = end; feature < end + 64 && feature + 16 <= bytes.length; feature += 16)
      numbers.push({ at: feature, size: 8 }, { at: feature + 8, size: 8 });
  }
  while (at + 8 <= end) {
    const type = bytes.readUInt32LE(at);
    const size = bytes.readUInt16LE(at + 6);
    if (size < 8) break;
    numbers.push({ at, size: 4 }, { at: at + 6, size: 2 });
    for (let i = 8; i < Math.min(size, 72); i += 8) numbers.push({ at: at + i, size: 8 });
    if (type === 64) attributeNumbers(at + 8, numbers);
    const more = type === 66 ? (bytes.readUInt32LE(at + 8) + 7) & ~7 : 0;
    units.push({ from: at, to: at + size + more });
    at += size + more;
  }
  return { numbers, units: units.sort((a, b) => a.from - b.from) };
}

/** type, size, config, sample_period, sample_type, read_format, flags of perf_event_attr. */
function attributeNumbers(at: number, numbers: Numbers): void {
  numbers.push({ at, size: 4 }, { at: at + 4, size: 4 });
  for (let i = 8; i < 48; i += 8) numbers.push({ at: at + i, size: 8 });
}

/** What xentrace writes: headers, the words behind them, and the records. */
export function xentraceAnatomy(file: Uint8Array): Anatomy {
  const bytes = Buffer.from(file);
  const numbers: Numbers = [];
  const units: Units = [];
  for (const { from, to } of recordsOf(bytes)) {
    for (let at = from; at < Math.min(to, from + WORDS); at += 4) numbers.push({ at, size: 4 });
    units.push({ from, to });
  }
  return { numbers, units };
}

/** trace.dat of version 6 or 7. */
export function traceDatAnatomy(file: Uint8Array): Anatomy {
  const bytes = Buffer.from(file);
  const numbers: Numbers = [];
  const units: Units = [];
  numbers.push({ at: 10, size: 1 }, { at: 12, size: 1 }, { at: 13, size: 1 }, { at: 14, size: 4 });
  const dat = new TraceDat(bytesInMemory(bytes, 'seed'));
  if (dat.version === 7) options(bytes, numbers, units);
  else headOfVersion6(bytes, numbers);
  for (const { compressed, pageSize, cpus } of dat.buffers) {
    for (const { offset, size } of cpus) {
      if (compressed) chunks(bytes, offset, numbers, units);
      else for (let at = offset; at + 16 <= offset + size; at += pageSize) page(bytes, at, pageSize, numbers, units);
    }
  }
  return { numbers, units: disjoint(units) };
}

/** Sizes before the texts of formats, and the tables around the options. */
function headOfVersion6(bytes: Buffer, numbers: Numbers): void {
  let count = 0;
  for (let at = bytes.indexOf('name: '); at >= 0 && count < FORMATS; at = bytes.indexOf('name: ', at + 1), count++)
    numbers.push({ at: at - 8, size: 8 }, { at: at - 12, size: 4 });
  for (const tag of ['header_page\0', 'header_event\0']) numbers.push({ at: bytes.indexOf(tag) + tag.length, size: 8 });
  const tag = bytes.indexOf('options  \0');
  if (tag < 0) return;
  numbers.push({ at: tag - 4, size: 4 }, { at: tag + 10, size: 2 }, { at: tag + 12, size: 4 });
  const cpus = bytes.indexOf('flyrecord\0') + 10;
  for (let i = 0; i < 2; i++) numbers.push({ at: cpus + 16 * i, size: 8 }, { at: cpus + 16 * i + 8, size: 8 });
}

function options(bytes: Buffer, numbers: Numbers, units: Units): void {
  const pointer = bytes.indexOf(0, bytes.indexOf(0, 18) + 1) + 1;
  numbers.push({ at: pointer, size: 8 });
  for (let section = Number(bytes.readBigUInt64LE(pointer)); section !== 0; ) {
    sectionHead(section, numbers);
    let at = section + 16;
    section = 0;
    while (at + 6 <= bytes.length) {
      const id = bytes.readUInt16LE(at);
      const size = bytes.readUInt32LE(at + 2);
      numbers.push({ at, size: 2 }, { at: at + 2, size: 4 });
      for (let i = 0; i + 8 <= Math.min(size, 64); i += 4) numbers.push({ at: at + 6 + i, size: i % 8 === 0 ? 8 : 4 });
      units.push({ from: at, to: at + 6 + size });
      if (id >= 16 && id <= 22 && size >= 8) sectionHead(Number(bytes.readBigUInt64LE(at + 6)), numbers);
      if (id === 0) {
        section = Number(bytes.readBigUInt64LE(at + 6));
        break;
      }
      at += 6 + size;
    }
  }
}

function sectionHead(at: number, numbers: Numbers): void {
  numbers.push({ at, size: 2 }, { at: at + 2, size: 2 }, { at: at + 8, size: 8 });
  numbers.push({ at: at + 16, size: 4 }, { at: at + 20, size: 4 });
}

function chunks(bytes: Buffer, offset: number, numbers: Numbers, units: Units): void {
  numbers.push({ at: offset, size: 4 });
  let at = offset + 4;
  for (let left = bytes.readUInt32LE(offset); left > 0 && at + 8 <= bytes.length; left--) {
    numbers.push({ at, size: 4 }, { at: at + 4, size: 4 });
    const to = at + 8 + bytes.readUInt32LE(at);
    units.push({ from: at, to });
    at = to;
  }
}

/** Time and commit, the words of the first events, and their common fields. */
function page(bytes: Buffer, at: number, pageSize: number, numbers: Numbers, units: Units): void {
  numbers.push({ at, size: 8 }, { at: at + 8, size: 8 });
  const end = Math.min(at + 16 + (bytes.readUInt32LE(at + 8) & 0x7ff_ffff), at + pageSize, bytes.length);
  units.push({ from: at, to: at + pageSize });
  let event = at + 16;
  for (let i = 0; i < EVENTS_OF_A_PAGE && event + 8 <= end; i++) {
    const type = bytes.readUInt32LE(event) & 31;
    const data = type === 0 ? event + 8 : event + 4;
    numbers.push({ at: event, size: 4 }, { at: event + 4, size: 4 }, { at: data, size: 2 }, { at: data + 4, size: 4 });
    if (type === 0) event += 4 + ((bytes.readUInt32LE(event + 4) + 3) & ~3);
    else event += type >= 29 ? 8 : 4 + 4 * type;
  }
}

/** In order, those that begin inside another left out. */
function disjoint(units: Units): Units {
  const sorted = units.toSorted((a, b) => a.from - b.from);
  return sorted.filter(
    ({ from }, i) => i === 0 || from >= Math.max(...sorted.slice(Math.max(0, i - 1), i).map((u) => u.to)),
  );
}
