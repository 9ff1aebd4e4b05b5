/** Everything a trace says of one event, for people. */
import { EVENT_KINDS } from '../engine/observer.js';
import { codeDomain } from '../traces/codes.js';
import type { Cell, Chunk, Row, TraceReader } from '../traces/store.js';
import { INFORMATION_NAMES, type Information, LAYOUTS, OPERANDS } from './detail-bits.js';
import { violatedChecks } from './detail-checks.js';
import { type Bits, isMeant, partOf } from './detail-parts.js';
import { RegisterHistory } from './detail-registers.js';
import { type FieldNames, fieldNamesOf, flagFields } from './fields.js';
import { flagNames, nameOfCode } from './listing.js';
import { codeWidth, disassemble } from './profile/code.js';
import type { Symbols } from './symbols/symbols.js';
import type { Timeline } from './timeline.js';
import type { Axis, Detail, Place, Register, Said } from './timeline-answers.js';
import { NO_LANE, reasonName } from './timeline-index.js';

/** A chain of parents is followed this far: nesting is a few levels deep, and a damaged trace may hold any number. */
const MAX_PARENTS = 16;
const MAX_TEXT = 4000;
const MAX_SAYS = 200;
const MAX_CHECKS = 64;
const MAX_MESSAGES = 16;

/** Columns that are shown, and the ones that are decimal. The rest of the table is shown elsewhere. */
const SHOWN = [
  ...[
    'tick',
    'step',
    'time_ns',
    'tracepoint',
    'vmcs',
    'reason',
    'qualification',
    'info2',
    'intr_info',
    'error_code',
    'rip',
    'cr3',
  ],
  ...['gva', 'gpa', 'code', 'old', 'value', 'size', 'flags', 'text'],
] as const;
const DECIMAL: ReadonlySet<string> = new Set(['tick', 'step', 'size']);

const breathe = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

export class Details {
  readonly #reader: TraceReader;
  readonly #timeline: Timeline;
  readonly #registers: RegisterHistory;
  /** The chunk of events that was read last: neighbours are asked for next. */
  #chunk: Chunk | null = null;

  readonly #symbols: Symbols | null;

  constructor(reader: TraceReader, timeline: Timeline, symbols: Symbols | null = null) {
    this.#reader = reader;
    this.#symbols = symbols;
    this.#timeline = timeline;
    this.#registers = new RegisterHistory(reader, (seq) => this.#vcpuOf(seq));
  }

  #vcpuOf(seq: number): number | null {
    return this.#timeline.index.lanes[this.#timeline.index.lane[seq] ?? NO_LANE]?.vcpu ?? null;
  }

  /** Null where the trace has no such event. Throws TraceError where its chunk cannot be read. */
  async of(seq: number): Promise<Detail | null> {
    const place = this.#timeline.place(seq);
    const row = place === null ? null : this.#row(seq);
    if (place === null || row === null) return null;
    const vcpu = Number(row.vcpu ?? 0);
    const registers = await this.#registers.at(seq, vcpu, breathe);
    const kind = Number(row.kind ?? EVENT_KINDS.other);
    return {
      place,
      lane: this.#laneName(place),
      kind: this.#timeline.index.categories[place.category]?.kindName ?? '',
      title: this.#title(place, row, kind),
      fields: SHOWN.flatMap((name) => this.#field(name, row, kind)),
      decoded: decode(this.#reader, row, registers, kind),
      registers,
      code: codeOf(row),
      checks: this.#checks(seq, kind, row),
      messages: this.#messages(seq),
      parents: this.#parents(row, seq),
      end: this.#end(place),
    };
  }

  #row(seq: number): Row | null {
    const holds = (chunk: Chunk | null): chunk is Chunk =>
      chunk !== null && seq >= chunk.first && seq < chunk.first + chunk.rows;
    if (!holds(this.#chunk)) {
      for (const chunk of this.#reader.chunks('event', { from: seq, to: seq + 1 })) this.#chunk = chunk;
    }
    return holds(this.#chunk) ? this.#chunk.row(seq - this.#chunk.first) : null;
  }

  #laneName({ lane }: Place): string {
    const found = this.#timeline.index.lanes[lane];
    if (found === undefined) return '';
    return found.level === null ? found.name : `${found.name} L${found.level}`;
  }

  #title(place: Place, row: Row | null, kind: number): string {
    const category = this.#timeline.index.categories[place.category];
    const code = row?.code ?? null;
    const domain = codeDomain(kind);
    const named = code === null || domain === null ? null : this.#reader.name(domain, big(code));
    const tracepoint = this.#tracepoint(row);
    return [category?.kindName ?? '', category?.reason ?? named ?? '', tracepoint === named ? '' : (tracepoint ?? '')]
      .filter((part) => part !== '')
      .join(' ')
      .slice(0, MAX_SAYS);
  }

  /** Name of the tracepoint, of events that share their kind with others. */
  #tracepoint(row: Row | null): string | null {
    const number = row?.tracepoint ?? null;
    return number === null ? null : this.#reader.name('event', big(number));
  }

  #field(name: string, row: Row, kind: number): Said[] {
    const cell = row[name] ?? null;
    if (cell === null) return [];
    return [{ name, value: shownValue(name, cell), says: clip(this.#says(name, cell, row, kind)) }];
  }

  #says(name: string, cell: Cell, row: Row, kind: number): string | null {
    const fields = fieldNamesOf(row, (domain, code) => this.#reader.dictionary(domain).get(code)?.says ?? null);
    if (name === 'flags') return flagSays(fields, big(cell));
    if (name === 'tracepoint') return this.#tracepoint(row);
    if (name === 'reason') {
      const isa = isaOf(row);
      const named = reasonName(this.#reader, isa, big(cell));
      // the manual numbers VMX reasons in decimal, SVM codes in hexadecimal
      return isa === 1 ? `${named}, basic reason ${big(cell) & 0xffffn}` : named;
    }
    if (name === 'rip') return this.#symbols?.label(levelOf(row), big(cell)) ?? null;
    const named =
      name === 'code' ? nameOfCode(row, kind, big(cell), (domain, code) => this.#reader.name(domain, code)) : null;
    return named ?? fields.get(name) ?? null;
  }

  /** Violated checks are events right before the failure that they explain. */
  #checks(seq: number, kind: number, row: Row): Detail['checks'] {
    const vcpu = this.#vcpuOf(seq);
    const rows: number[] = kind === EVENT_KINDS.check ? [seq] : [];
    if (kind === EVENT_KINDS.entry_failed || kind === EVENT_KINDS.vmfail) {
      for (let at = seq - 1; at >= 0 && rows.length < MAX_CHECKS && this.#vcpuOf(at) === vcpu; at--) {
        const { categories, category } = this.#timeline.index;
        if (categories[category[at] ?? 0]?.kind !== EVENT_KINDS.check) break;
        rows.unshift(at);
      }
    }
    const dictionary = this.#reader.dictionary('check');
    const checks = rows.flatMap((at) => {
      const code = this.#row(at)?.code ?? null;
      const check = code === null ? undefined : dictionary.get(big(code));
      return check === undefined ? [] : [{ id: check.name, says: check.says }];
    });
    if (checks.length === 0) return [];
    const { vmcs = null } = row;
    const failed = { seq, vmcs: vmcs === null ? null : big(vmcs) };
    return violatedChecks(this.#reader, this.#timeline.index, checks, failed);
  }

  #messages(seq: number): Said[] {
    const found: Said[] = [];
    for (const chunk of this.#reader.chunks('message')) {
      for (let i = 0; i < chunk.rows && found.length < MAX_MESSAGES; i++) {
        const row = chunk.row(i);
        if (row.seq === null || Number(row.seq) !== seq || !(row.body instanceof Uint8Array)) continue;
        const way = row.direction === 0 ? 'guest to host' : 'host to guest';
        const value = new TextDecoder().decode(row.body.subarray(0, MAX_TEXT));
        found.push({ name: String(row.protocol).slice(0, 40), value, says: `${way}, channel ${row.channel}` });
      }
    }
    return found;
  }

  #parents(row: Row, seq: number): Detail['parents'] {
    const parents: Detail['parents'][number][] = [];
    let below = seq;
    let parent = row.parent ?? null;
    while (parent !== null && parents.length < MAX_PARENTS) {
      const at = Number(parent);
      if (at >= below) break; // work comes after the exit that it serves: anything else is a damaged trace
      const place = this.#timeline.place(at);
      const found = place === null ? null : this.#row(at);
      if (place === null || found === null) break;
      parents.push({
        seq: at,
        title: this.#title(place, found, Number(found.kind ?? 0)),
        lane: this.#laneName(place),
      });
      below = at;
      parent = found.parent ?? null;
    }
    return parents;
  }

  #end(place: Place): Detail['end'] {
    const seq = this.#timeline.index.end[place.seq] ?? 0;
    const end = seq === 0 ? null : this.#timeline.place(seq);
    if (end === null) return null;
    const took: { [axis in Axis]?: number } = {};
    for (const axis of ['tick', 'time', 'seq'] as const) {
      const from = place.at[axis];
      const to = end.at[axis];
      if (from !== undefined && to !== undefined) took[axis] = to - from;
    }
    return { seq, took };
  }
}

const clip = (says: string | null): string | null => says?.slice(0, MAX_SAYS) ?? null;
const big = (cell: Cell): bigint => (typeof cell === 'bigint' ? cell : typeof cell === 'number' ? BigInt(cell) : 0n);
const levelOf = (row: Row): number | null => {
  const level = row.from_level ?? null;
  return level === null ? null : Number(level);
};
const isaOf = (row: Row): number | null => (row.isa === null || row.isa === undefined ? null : Number(row.isa));

function flagSays(fields: FieldNames, flags: bigint): string {
  const { said, rest } = flagFields(fields, flags);
  return [...said.map(([name, value]) => `${name} ${value}`), ...flagNames(rest)].join(', ');
}

function shownValue(name: string, cell: Cell): string {
  if (typeof cell === 'string') return cell.slice(0, MAX_TEXT);
  if (cell instanceof Uint8Array) return hexBytes(cell);
  if (name === 'time_ns') return `${BigInt.asIntN(64, big(cell))}`;
  return DECIMAL.has(name) ? `${cell}` : `0x${big(cell).toString(16)}`;
}

const hexBytes = (bytes: Uint8Array): string =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ');

function decode(reader: TraceReader, row: Row, registers: readonly Register[] | null, kind: number): Said[] {
  const isa = isaOf(row);
  const reason = row.reason ?? null;
  if (isa === null) return [];
  const full = reason === null ? null : big(reason);
  const basic = full === null ? null : Number(isa === 1 ? full & 0xffffn : full);
  const decoded: Said[] = [];
  if (kind === EVENT_KINDS.exit && basic !== null) {
    for (const { isa: of, reasons, register, name, domain } of OPERANDS) {
      if (of !== isa || !reasons.includes(basic)) continue;
      const value = registers?.find((each) => each.name === register)?.value ?? null;
      if (value === null) continue;
      const low = BigInt(`0x${value}`) & 0xffff_ffffn;
      decoded.push({
        name,
        value: `0x${low.toString(16)}`,
        says: domain === undefined ? null : clip(reader.name(domain, low)),
      });
    }
  }
  for (const { isa: of, first, last, word, beside, bits, name } of LAYOUTS) {
    if (of !== isa) continue;
    if (first !== undefined && (basic === null || basic < first || basic > (last ?? first))) continue;
    const called = INFORMATION_NAMES[of][word];
    const cell = row[word satisfies Information] ?? null;
    if (cell === null || (beside !== undefined && (row[beside] ?? null) === null)) continue;
    // of events, which any exit may have, 0 says that there was none
    if (first === undefined && (word === 'intr_info' || word === 'info2') && big(cell) === 0n) continue;
    if (bits === undefined) decoded.push({ name: called, value: `0x${big(cell).toString(16)}`, says: name ?? null });
    else decoded.push(...bits.flatMap((each) => decodeBits(called, each, big(cell))));
  }
  return decoded;
}

/** A flag that is clear, and is no more than a flag, says nothing and is left out; so is what means nothing here. */
function decodeBits(word: string, part: Bits, cell: bigint): Said[] {
  const { high, low, name, values, hex } = part;
  const value = partOf(cell, part);
  const says = values?.[Number(value)];
  if (says === 'no' || !isMeant(part, cell)) return [];
  const bits = high === low ? `${word} bit ${low}` : `${word} bits ${high}:${low}`;
  const shown = says ?? (hex === true || value > 9n ? `0x${value.toString(16)}` : value.toString());
  return [{ name, value: shown, says: bits }];
}

function codeOf(row: Row): Detail['code'] {
  const bytes = row.bytes ?? null;
  if (!(bytes instanceof Uint8Array) || bytes.length === 0) return null;
  const rip = row.rip === null || row.rip === undefined ? 0n : big(row.rip);
  const code = bytes.slice(0, 15);
  const decodings = ([64, 32, 16] as const).map((bits) => ({
    bits,
    text: disassemble(code, rip, bits) ?? 'not an instruction',
  }));
  return { bytes: hexBytes(code), bits: codeWidth(typeof row.text === 'string' ? row.text : null), decodings };
}
