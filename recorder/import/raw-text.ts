/**
 * Events whose fields are printed by their names, `exit_reason=1024 guest_rip=0x10000`: by `trace-cmd report -R`, and by a
 * kernel with the option `fields` of tracefs. They are decoded as records are that have these fields, one of 64 bits each.
 */
import { RecordDecoder } from './binary/decoder.js';
import type { Field } from './binary/formats.js';
import { compile, isText, type Program } from './binary/program.js';
import { ascii, type Cursor, isBlank, isHex } from './cursor.js';
import type { EventSpec } from './events.js';
import { tracepointOf } from './kvm/table.js';
import { CONVERSIONS, knows, type Tracepoint, usesIn } from './kvm/tracepoint.js';
import { Gaps, Lane } from './lanes.js';
import type { EventRow } from './row.js';
import type { EventSink } from './sink.js';

const EQUALS = 0x3d;
const OPEN = 0x28; // (
const CLOSE = 0x29;
const QUOTE = 0x27;
const BLANK = ascii(' ');
const BESIDE = ascii(' (0x');
/** Sets of fields that are told apart: kernels of one recording print an event in one. */
const MOST_SHAPES = 256;
const MOST_FIELDS = 64;
/** Bytes of an instruction, and of a slot. */
const INSTRUCTION = 15;
const SLOT = 16;

/** A thread of which nothing is known. */
const NOBODY = new Lane(-1, null, null, null, '', new Gaps());
const latin1 = new TextDecoder('latin1');

/** How a field without 0x is written: by the kernel's own print of it, where that prints the field as it is. */
type Style = 'hex' | 'decimal' | 'bytes';

interface Named {
  readonly name: Uint8Array;
  readonly style: Style;
  /** The event has a column for it. */
  readonly isRead: boolean;
  /** Columns do not hold all of it, and it stays text. */
  readonly isText: boolean;
}

/** The fields of an event in the order in which they are printed, and what records of them are decoded by. */
interface Shape {
  readonly fields: readonly Named[];
  /** Null where the fields are not those of the event: some events print `name=value` anyway, and are known as such again. */
  readonly program: Program | null;
}

function styleOf(tracepoint: Tracepoint, name: string): Style {
  const { special } = tracepoint;
  if (special === 'emulate') return name === 'insn' ? 'bytes' : name === 'rip' || name === 'csbase' ? 'hex' : 'decimal';
  const [use, print = ''] = usesIn(tracepoint, name)[0] ?? [];
  const isConverted = use !== undefined && use in CONVERSIONS && use !== 'page';
  return print.endsWith(' %x') && !isConverted ? 'hex' : 'decimal';
}

/** A number as it is written, or as a kernel writes it beside: `1024 (0x400)`, `(1)`, `'A'(65)`. */
function readValue(cursor: Cursor, style: Style): boolean {
  if (cursor.peek() === QUOTE) cursor.at += 3;
  if (cursor.peek() === OPEN) {
    cursor.at += 1;
    return cursor.integer();
  }
  const { at } = cursor;
  const { bytes } = cursor;
  if (bytes[at] === 0x30 && bytes[at + 1] === 0x78) return cursor.hex();
  const isDecimal = cursor.integer();
  if (isDecimal && cursor.accept(BESIDE)) return cursor.hex();
  if (isDecimal && style !== 'hex') return true;
  cursor.at = at;
  return cursor.hex();
}

/** Prints of the kernel's own have commas behind their values. */
const endsValue = (cursor: Cursor): boolean =>
  cursor.at >= cursor.end || isBlank(cursor.peek()) || cursor.peek() === CLOSE;

/** Where the next blank is. */
function skipWord(cursor: Cursor): void {
  while (cursor.at < cursor.end && !isBlank(cursor.peek())) cursor.at += 1;
}

/** Where the name of the field at the cursor ends, behind whose `=` that is then; -1 where no field is. */
function skipName(cursor: Cursor): number {
  const end = cursor.wordEnd();
  if (end === cursor.at || end >= cursor.end || cursor.bytes[end] !== EQUALS) return -1;
  cursor.at = end + 1;
  return end;
}

/** `name` lies at [from, to) of `bytes`. */
function isAt(name: Uint8Array, bytes: Uint8Array, from: number, to: number): boolean {
  if (name.length !== to - from) return false;
  for (let i = 0; i < name.length; i++) if (name[i] !== bytes[from + i]) return false;
  return true;
}

/** Where the name of an event lies in its line. */
interface NamePlace {
  readonly nameStart: number;
  readonly nameEnd: number;
}

export class RawText {
  readonly #decoder: RecordDecoder;
  readonly #keepsText: boolean;
  /** The line has words that belong to no field. */
  #strays = false;
  readonly #shapes = new Map<string, Shape>();
  /** By the index of an event's spec, the shape of its last line. */
  readonly #last: (Shape | null)[] = [];
  readonly #record = new DataView(new ArrayBuffer(MOST_FIELDS * SLOT));

  /** `text`: what has no column is wanted. */
  constructor(text: boolean) {
    this.#decoder = new RecordDecoder(true, { fields: null, text, vcpus: true });
    this.#keepsText = text;
  }

  /** vCPU that the last event named, or -1. */
  get vcpu(): number {
    return this.#decoder.vcpu;
  }

  /** True where a field by its name stands at the cursor, and no word of the event's own print, some of which have `=` as well. */
  static begins(cursor: Cursor, { printed }: EventSpec): boolean {
    cursor.skipBlanks();
    const { bytes, at } = cursor;
    const end = cursor.wordEnd();
    if (end === at || end >= cursor.end || bytes[end] !== EQUALS) return false;
    for (const word of printed) if (isAt(word, bytes, at, end)) return false;
    return true;
  }

  /**
   * Decodes the fields at the cursor into the next row of `sink` and into `row`; false where they are not those of the event
   * of that name, which lies before them, and then nothing was written. `index` is that of its spec, `number` its own in
   * the trace.
   */
  decode(
    index: number,
    { nameStart, nameEnd }: NamePlace,
    number: () => number,
    cursor: Cursor,
    sink: EventSink,
    row: EventRow,
    lane: Lane | null,
  ): boolean {
    const { at } = cursor;
    while (this.#last.length <= index) this.#last.push(null);
    let shape = this.#last[index] ?? null;
    if (shape === null || !this.#fill(shape, cursor)) {
      cursor.at = at;
      shape = this.#shapeOf(latin1.decode(cursor.bytes.subarray(nameStart, nameEnd)), number, cursor);
      this.#last[index] = shape;
      cursor.at = at;
      if (shape === null || !this.#fill(shape, cursor)) {
        cursor.at = at;
        return false;
      }
    }
    const { program } = shape;
    if (program === null) {
      cursor.at = at;
      return false;
    }
    this.#decoder.decode(program, this.#record, 0, this.#record.byteLength, sink, row, lane ?? NOBODY);
    cursor.at = at;
    if (this.#keepsText) this.#keep(shape, cursor, row);
    return true;
  }

  /** Puts the values of a line into the record; false where its fields are others, or no numbers. */
  #fill({ fields }: Shape, cursor: Cursor): boolean {
    let count = 0;
    let isText = false;
    this.#strays = false;
    for (cursor.skipBlanks(); cursor.at < cursor.end; cursor.skipBlanks()) {
      const start = cursor.at;
      const end = skipName(cursor);
      if (end >= 0) {
        const field = fields[count];
        if (field === undefined || !isAt(field.name, cursor.bytes, start, end)) return false;
        if (field.isRead && !this.#value(field, SLOT * count, cursor)) return false;
        isText = !field.isRead;
        count += 1;
      } else if (!isText) this.#strays = true;
      skipWord(cursor);
    }
    return count === fields.length;
  }

  #value({ style }: Named, at: number, cursor: Cursor): boolean {
    if (style === 'bytes') return this.#bytes(at, cursor);
    if (!readValue(cursor, style) || !endsValue(cursor)) return false;
    this.#record.setUint32(at, cursor.low, true);
    this.#record.setUint32(at + 4, cursor.high, true);
    return true;
  }

  /** `ARRAY[0f, a2]` or `{0xf,0xa2}`. */
  #bytes(at: number, cursor: Cursor): boolean {
    const { bytes, end } = cursor;
    while (cursor.at < end && cursor.peek() !== 0x5b && cursor.peek() !== 0x7b) cursor.at += 1;
    cursor.at += 1;
    let count = 0;
    for (; cursor.at < end && cursor.peek() !== 0x5d && cursor.peek() !== 0x7d; ) {
      if (!isHex(bytes[cursor.at] as number)) cursor.at += 1;
      else if (!cursor.hex()) return false;
      else if (count < INSTRUCTION) this.#record.setUint8(at + count++, cursor.low & 0xff);
    }
    return true;
  }

  /** Adds what has no column as it is written, and the words that belong to no field. */
  #keep({ fields }: Shape, cursor: Cursor, row: EventRow): void {
    if (!this.#strays && !fields.some(({ isText }) => isText)) return;
    let count = -1;
    for (cursor.skipBlanks(); cursor.at < cursor.end; cursor.skipBlanks()) {
      const { at } = cursor;
      let isText = true;
      if (skipName(cursor) >= 0) {
        count += 1;
        const field = fields[count];
        isText = field?.isText === true;
        if (field?.isRead === true) this.#value(field, SLOT * count, cursor);
      }
      skipWord(cursor);
      if (!isText) continue;
      if (row.textLength > 0) row.addText(BLANK, 0, 1);
      row.addText(cursor.bytes, at, cursor.at);
    }
  }

  #shapeOf(event: string, number: () => number, cursor: Cursor): Shape | null {
    const names: string[] = [];
    for (cursor.skipBlanks(); cursor.at < cursor.end; cursor.skipBlanks()) {
      const start = cursor.at;
      const end = skipName(cursor);
      if (end >= 0) names.push(latin1.decode(cursor.bytes.subarray(start, end)));
      skipWord(cursor);
    }
    const key = `${event} ${names.join(' ')}`;
    const known = this.#shapes.get(key);
    if (known !== undefined) return known;
    // two lines in one, or what only looks like fields
    const isTwice = new Set(names).size < names.length && tracepointOf(event)?.shared === true;
    if (this.#shapes.size >= MOST_SHAPES || names.length > MOST_FIELDS || isTwice) return null;
    const shape = shapeOf(event, names, number);
    this.#shapes.set(key, shape);
    return shape;
  }
}

function shapeOf(event: string, names: readonly string[], number: () => number): Shape {
  const tracepoint = tracepointOf(event);
  const foreign: Shape = {
    fields: names.map((name) => ({ name: ascii(name), style: 'decimal', isRead: false, isText: true })),
    program: null,
  };
  if (tracepoint === undefined) return foreign;
  const fields = names.map((name): Named & { readonly text: string } => {
    const isRead = knows(tracepoint, name);
    return {
      text: name,
      name: ascii(name),
      style: styleOf(tracepoint, name),
      isRead,
      isText: isText(tracepoint, { name }),
    };
  });
  const columns = fields.flatMap(({ text: name, style, isRead }, i): readonly Field[] => {
    if (!isRead) return [];
    const [size, count] = style === 'bytes' ? [INSTRUCTION, INSTRUCTION] : [8, null];
    return [{ name, type: 'u64', offset: SLOT * i, size, signed: false, count, dynamic: null }];
  });
  const format = { system: 'kvm', name: event, id: 0, fields: columns, size: SLOT * names.length };
  const program = compile(format, number);
  return program.event === null ? foreign : { fields, program: { ...program, text: [] } };
}
