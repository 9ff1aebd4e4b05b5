/**
 * The `format` files of tracefs, which recordings carry with them: where each field of each event lies
 * (Documentation/trace/events.rst, "Event formats"). Every layout comes from here; none is known beforehand.
 */

export interface Field {
  readonly name: string;
  /** Type as the kernel wrote it, without the array's bounds. */
  readonly type: string;
  readonly offset: number;
  readonly size: number;
  readonly signed: boolean;
  /** Elements of an array in place, or null. */
  readonly count: number | null;
  /** `data`: offset and length of bytes behind the fields; `relative`: the offset counts from behind this field. */
  readonly dynamic: 'data' | 'relative' | null;
}

export interface EventFormat {
  readonly system: string;
  readonly name: string;
  readonly id: number;
  readonly fields: readonly Field[];
  /** Bytes that a record must have for all of its fields. */
  readonly size: number;
}

/** More than any record has: sizes travel in 16 bits wherever records do. */
const MAX_OFFSET = 0xffff;
/** Longer lines are no field: the patterns below take time in the square of a line's length. */
const MAX_FIELD = 256;
/** More fields than any event has; each costs work for each record. */
const MAX_FIELDS = 512;
const FIELD = /^\s*field(?: special)?:(.*?);\s*offset:\s*(\d+);\s*size:\s*(\d+);(?:\s*signed:\s*(\d+);)?/;
const DECLARATION = /^(.*?)\s*([A-Za-z_]\w*)\s*((?:\[[^\]]*\]\s*)*)$/s;

/** Fields of a `format` file, or of the descriptions of pages and event headers that have no name; damaged lines left out. */
export function parseFields(text: string): Field[] {
  const lines = text.split('\n').filter((line) => line.length <= MAX_FIELD && line.includes('field'));
  return lines.slice(0, MAX_FIELDS).flatMap((line) => {
    const parts = FIELD.exec(line);
    const declared = DECLARATION.exec(parts?.[1]?.trim() ?? '');
    if (parts === null || declared === null) return [];
    const [offset, size] = [Number(parts[2]), Number(parts[3])];
    if (offset + size > MAX_OFFSET) return [];
    const [, type = '', name = '', bounds = ''] = declared;
    const dynamic = type.startsWith('__rel_loc') ? 'relative' : type.startsWith('__data_loc') ? 'data' : null;
    const bound = /\[\s*(\d+)\s*\]/.exec(bounds);
    const array = dynamic === null && bounds !== '';
    const signed = parts[4] === undefined ? /^(?!unsigned|u\d)(char|short|int|long|s\d)/.test(type) : parts[4] !== '0';
    return [{ name, type, offset, size, signed, count: array ? Number(bound?.[1] ?? 0) : null, dynamic }];
  });
}

/** One `format` file, or null where it is none. */
export function parseFormat(system: string, text: string): EventFormat | null {
  const name = /^name:\s*(\S+)/m.exec(text)?.[1];
  const id = /^ID:\s*(\d+)/m.exec(text)?.[1];
  if (name === undefined || id === undefined) return null;
  const fields = parseFields(text.slice(0, Math.max(0, text.indexOf('\nprint fmt:')) || text.length));
  const size = fields.reduce((most, field) => Math.max(most, field.offset + field.size), 0);
  return { system, name, id: Number(id), fields, size };
}

/** The events that a recording describes; each is parsed when its first record comes. */
export class Formats {
  readonly #texts = new Map<number, { readonly system: string; readonly text: string }>();
  readonly #parsed = new Map<number, EventFormat | null>();

  get size(): number {
    return this.#texts.size;
  }

  /** Takes a description; of two of one number the first holds, which records before the second one go by. */
  add(system: string, text: string): void {
    const id = /^ID:\s*(\d+)/m.exec(text)?.[1];
    if (id !== undefined && !this.#texts.has(Number(id))) this.#texts.set(Number(id), { system, text });
  }

  /** Every description as the recording has it. */
  all(): Iterable<{ readonly system: string; readonly text: string }> {
    return this.#texts.values();
  }

  get(id: number): EventFormat | null {
    let format = this.#parsed.get(id);
    if (format === undefined) {
      const raw = this.#texts.get(id);
      if (raw === undefined) return null;
      format = parseFormat(raw.system, raw.text);
      this.#parsed.set(id, format);
    }
    return format;
  }

  /** The field of this name of any event: those that are common to all lie at the same place in all. */
  common(name: string): Field | null {
    for (const id of this.#texts.keys()) {
      const field = this.get(id)?.fields.find((each) => each.name === name);
      if (field !== undefined) return field;
    }
    return null;
  }
}
