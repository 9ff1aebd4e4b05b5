/** What has no column, as `name=value`: hexadecimal for addresses and masks, decimal for what counts. */
import { ascii } from '../cursor.js';
import type { EventRow } from '../row.js';
import type { Field } from './formats.js';
import { addBytes, addDecimal, addHex, addHexByte, addSpace } from './ink.js';
import type { NumberReader } from './number-reader.js';
import type { Program, TextField } from './program.js';

/** More than names and numbers of any event's fields take, beside its bytes. */
const TEXT_ROOM = 4096;
const COMMA = ascii(',');
const OUTSIDE = ascii('<outside the record>');

export class RecordText {
  readonly #numbers: NumberReader;

  constructor(numbers: NumberReader) {
    this.#numbers = numbers;
  }

  /** Adds the fields of the record of `length` bytes at `at` that its program keeps as text. */
  add({ text }: Program, view: DataView, at: number, length: number, row: EventRow): void {
    // fields may lie one over the other: a small record must not become a long text
    const most = TEXT_ROOM + 4 * length;
    for (let i = 0; i < text.length && row.textLength <= most; i++) {
      const { label, field, style, width } = text[i] as TextField;
      addSpace(row);
      addBytes(row, label);
      if (width !== 0) {
        this.#numbers.read(view, at + field.offset, width);
        this.#value(row, style === 'decimal', width < 0);
      } else if (field.dynamic !== null) this.#dynamic(field, style, view, at, length, row);
      else if (style === 'numbers') this.#list(field, view, at, row);
      else addRaw(view, at + field.offset, field.count === 0 ? length - field.offset : field.size, style, row);
    }
  }

  #value(row: EventRow, decimal: boolean, signed: boolean): void {
    const { low, high } = this.#numbers;
    if (!decimal) {
      addHex(row, low, high);
      return;
    }
    const value = (signed ? high : high >>> 0) * 0x1_0000_0000 + (low >>> 0);
    if (Number.isSafeInteger(value)) addDecimal(row, value);
    else addHex(row, low, high);
  }

  #list(field: Field, view: DataView, at: number, row: EventRow): void {
    const count = field.count ?? 0;
    const width = field.size / count;
    for (let i = 0; i < count; i++) {
      if (i > 0) addBytes(row, COMMA);
      this.#numbers.read(view, at + field.offset + i * width, width);
      addHex(row, this.#numbers.low, this.#numbers.high);
    }
  }

  /** Offset in the low half of 32 bits, length in the high one (include/trace/stages/stage5_get_offsets.h). */
  #dynamic(field: Field, style: TextField['style'], view: DataView, at: number, length: number, row: EventRow): void {
    if (field.size !== 4) {
      addRaw(view, at + field.offset, field.size, 'bytes', row);
      return;
    }
    const word = view.getUint32(at + field.offset, this.#numbers.little);
    const from = (word & 0xffff) + (field.dynamic === 'relative' ? field.offset + field.size : 0);
    const size = word >>> 16;
    if (from + size > length) addBytes(row, OUTSIDE);
    else addRaw(view, at + from, size, style, row);
  }
}

/** Text up to its first NUL, or bytes in hexadecimal. */
function addRaw(view: DataView, from: number, size: number, style: TextField['style'], row: EventRow): void {
  if (style === 'string') {
    let end = 0;
    while (end < size && view.getUint8(from + end) !== 0) end += 1;
    row.addText(new Uint8Array(view.buffer, view.byteOffset + from, end), 0, end);
    return;
  }
  for (let i = 0; i < size; i++) addHexByte(row, view.getUint8(from + i));
}
