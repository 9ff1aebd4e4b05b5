/**
 * The decode cache: records by physical page and mode. A page that holds code has a map from offset to record and
 * marks its 64-byte lines; a write to a marked line turns the records of that line into `refetch`, in place, so that
 * a straight line that runs into them decodes again: into the same place where the new instruction is as long as the
 * old one, because branches are linked to records and code that modifies itself mostly changes operands.
 *
 * Nothing that a guest can see depends on what is in the cache.
 */

import { CODE_MAP_BYTES, CODE_MAPS, type MemoryMap, RECORDS } from '../../memory/map.js';
import type { PhysicalMemory } from '../../memory/physical.js';
import { LINE_BYTES, PAGE_BYTES } from '../../memory/physical.js';
import { R, RECORD_BYTES } from '../insn.js';
import { MODE } from '../mode.js';
import { PSEUDO } from '../semantics/forms.js';
import type { RecordDecoder } from './decode.js';
import { VariantCache } from './variants.js';

/** Instructions a straight line holds at the most. */
const LINE_LENGTH = 48;
/** Records a line may take: its instructions, a crossing one's two more, and its end. */
const LINE_RECORDS = LINE_LENGTH + 4;
const LONGEST = 15;
/** Writes to marked lines without decoded bytes, one after the other, that are borne before marks are cleared. */
const FUTILE_WRITES = 16;

interface CodePage {
  readonly frame: number;
  readonly mode: number;
  /** Address of its map in linear memory. */
  readonly map: number;
}

export class DecodeCache {
  readonly #view: DataView;
  readonly #bytes: Uint8Array;
  /** The same bytes as words, for entries of code maps: hosts are little-endian, as WebAssembly is. */
  readonly #words: Uint32Array;
  readonly #memory: PhysicalMemory;
  readonly #layout: MemoryMap;
  readonly #decoder: RecordDecoder;
  readonly #byFrame = new Map<number, CodePage[]>();
  readonly #byMap = new Map<number, CodePage>();
  /** Dropped records, by the place of their entry in a code map. */
  readonly #dropped = new Map<number, number>();
  readonly #variants: VariantCache;
  #maps = 0;
  #records = 0;
  /** Counts flushes: records of another generation are void. */
  generation = 0;
  /** The whole cache was emptied: links to code maps are void. */
  onFlush: () => void = () => {};

  constructor(buffer: ArrayBuffer, layout: MemoryMap, memory: PhysicalMemory, decoder: RecordDecoder) {
    this.#view = new DataView(buffer);
    this.#bytes = new Uint8Array(buffer);
    this.#words = new Uint32Array(buffer);
    this.#layout = layout;
    this.#memory = memory;
    this.#decoder = decoder;
    this.#variants = new VariantCache(buffer);
    memory.onCodeWrite = (address, size) => this.#drop(address, size);
  }

  /** Address of the code map of a page in a mode; made where there is none. */
  page(frame: number, mode: number): number {
    const known = this.#byFrame.get(frame)?.find((page) => page.mode === mode);
    if (known) return known.map;
    if (this.#maps === CODE_MAPS) this.flush(null);
    return this.#add(frame, mode, this.#layout.codeMaps + this.#maps++ * CODE_MAP_BYTES);
  }

  #add(frame: number, mode: number, map: number): number {
    const page = { frame, mode, map };
    this.#bytes.fill(0, map, map + CODE_MAP_BYTES);
    const others = this.#byFrame.get(frame);
    if (others) others.push(page);
    else this.#byFrame.set(frame, [page]);
    this.#byMap.set(map, page);
    return map;
  }

  /** Empties the cache. The page whose map is `keep` stays, without records, at the same place. */
  flush(keep: number | null): void {
    const kept = keep === null ? undefined : this.#byMap.get(keep);
    for (const frame of this.#byFrame.keys()) if (this.#memory.isRam(frame * PAGE_BYTES)) this.#memory.clearCode(frame);
    this.#byFrame.clear();
    this.#byMap.clear();
    this.#dropped.clear();
    this.#variants.clear();
    this.generation++;
    this.#records = 0;
    this.#maps = 0;
    this.onFlush();
    if (!kept) return;
    // Maps before the kept one are free again; those after it as well, once the count passes it.
    this.#add(kept.frame, kept.mode, kept.map);
    this.#maps = (kept.map - this.#layout.codeMaps) / CODE_MAP_BYTES + 1;
  }

  /** Record at an offset of a code map; decoded if need be. */
  record(map: number, offset: number): number {
    const known = this.#view.getUint32(map + offset * 4, true);
    if (known) return known;
    const page = this.#byMap.get(map);
    if (!page) throw new Error('no code page has this map');
    const again = this.#decodeAgain(page, offset);
    if (again) return again;
    if (this.#records + LINE_RECORDS > RECORDS) {
      this.flush(map);
      return this.record(map, offset);
    }
    return this.#decodeLine(page, offset);
  }

  /** True where the map leads to this very record: it was not dropped. */
  isLive(map: number, record: number): boolean {
    const offset = this.#view.getUint16(record + R.offset, true);
    return this.#view.getUint32(map + offset * 4, true) === record;
  }

  #code(page: CodePage): Uint8Array {
    const at = page.frame * PAGE_BYTES;
    // Nothing answers a fetch outside RAM: all ones, as from an empty bus.
    return this.#memory.isRam(at, PAGE_BYTES)
      ? this.#memory.bytes.subarray(at, at + PAGE_BYTES)
      : new Uint8Array(PAGE_BYTES).fill(0xff);
  }

  #take(): number {
    const record = this.#layout.records + this.#records++ * RECORD_BYTES;
    this.#bytes.fill(0, record, record + RECORD_BYTES);
    return record;
  }

  #makePseudo(record: number, handler: number, offset: number, link: 0 | 1): void {
    this.#bytes.fill(0, record, record + RECORD_BYTES);
    this.#view.setUint16(record + R.handler, handler, true);
    this.#view.setUint16(record + R.offset, offset, true);
    this.#view.setUint32(record + R.link, link, true);
  }

  /** Decodes a dropped instruction into its old record, or answers 0. */
  #decodeAgain(page: CodePage, offset: number): number {
    const at = page.map + offset * 4;
    const record = this.#dropped.get(at);
    if (record === undefined) return 0;
    this.#dropped.delete(at);
    const start = page.frame * PAGE_BYTES + offset;
    if (!this.#memory.isRam(start, LONGEST)) return 0;
    const length = this.#view.getUint8(record + R.length);
    const remaining = this.#view.getUint16(record + R.remaining, true);
    const code = this.#memory.base + start;
    if (!this.#variants.restore(at, record, code) && !this.#decodeVariant(page, offset, record, length)) {
      this.#makePseudo(record, PSEUDO.refetch, offset, 1);
      return 0;
    }
    this.#view.setUint16(record + R.remaining, remaining, true);
    this.#view.setUint32(at, record, true);
    this.#mark(page, offset, offset + length);
    return record;
  }

  /** Decodes an instruction of `length` into a record, and keeps it for the next time; false: it has another length. */
  #decodeVariant(page: CodePage, offset: number, record: number, length: number): boolean {
    const code = this.#code(page).slice(offset, offset + LONGEST);
    const decoder = this.#decoder.open(code, page.mode);
    const taken = this.#decoder.decode(decoder, code, 0, offset, page.mode, record);
    if (taken === length) this.#variants.keep(page.map + offset * 4, record, this.#decoder.immediateOf(decoder));
    decoder.free();
    return taken === length;
  }

  #mark(page: CodePage, from: number, to: number): void {
    if (!this.#memory.isRam(page.frame * PAGE_BYTES, PAGE_BYTES)) return;
    this.#memory.markCode(page.frame, from >> 6, (Math.min(to, PAGE_BYTES) - 1) >> 6);
  }

  #decodeLine(page: CodePage, offset: number): number {
    const code = this.#code(page).slice(offset, offset + LINE_LENGTH * LONGEST);
    const decoder = this.#decoder.open(code, page.mode);
    const first = this.#layout.records + this.#records * RECORD_BYTES;
    const records: number[] = [];
    let at = offset;
    let ended = false;
    while (!ended && records.length < LINE_LENGTH && at < PAGE_BYTES) {
      if (this.#view.getUint32(page.map + at * 4, true)) break;
      const record = this.#take();
      const length = this.#decoder.decode(decoder, code, at - offset, at, page.mode, record);
      this.#view.setUint32(page.map + at * 4, record, true);
      this.#dropped.delete(page.map + at * 4);
      records.push(record);
      if (length === 0) {
        this.#makePseudo(record, PSEUDO.cross, at, 1);
        // Room for the instruction and the end behind it.
        this.#take();
        this.#take();
        at = PAGE_BYTES;
        break;
      }
      at += length;
      ended = this.#decoder.endsLine;
    }
    decoder.free();
    // Behind an instruction that ends the line too: another one may come into its place.
    const linkable = at < PAGE_BYTES && (page.mode & (2 | MODE.flat)) !== 0;
    this.#makePseudo(this.#take(), PSEUDO.refetch, at, linkable ? 0 : 1);
    this.#setRemaining(records);
    this.#mark(page, offset, at);
    return first;
  }

  /**
   * The instruction behind a `cross` record must be what its bytes say now; its second part lies in page `second`.
   * Decodes it again where they differ.
   */
  crossing(record: number, map: number, second: number): void {
    const page = this.#byMap.get(map);
    if (!page) throw new Error('no code page has this map');
    const offset = this.#view.getUint16(record + R.offset, true);
    const instruction = record + RECORD_BYTES;
    if (this.#isStill(instruction, page.frame * PAGE_BYTES + offset, PAGE_BYTES - offset, second * PAGE_BYTES)) return;
    const head = this.#code(page).subarray(offset);
    const rest = this.#code({ ...page, frame: second });
    const bytes = new Uint8Array(LONGEST);
    bytes.set(head);
    bytes.set(rest.subarray(0, LONGEST - head.length), head.length);
    const decoder = this.#decoder.open(bytes, page.mode);
    const taken = this.#decoder.decode(decoder, bytes, 0, offset, page.mode, instruction);
    decoder.free();
    this.#view.setUint16(instruction + R.remaining, 1, true);
    if (this.#decoder.linked) this.#view.setUint32(instruction + R.link, 1, true);
    this.#makePseudo(instruction + RECORD_BYTES, PSEUDO.refetch, offset + taken, 1);
  }

  /** The decoded bytes are those in RAM: the first `split` of them at `first`, the others at `second`. */
  #isStill(instruction: number, first: number, split: number, second: number): boolean {
    const bytes = this.#bytes;
    const length = bytes[instruction + R.length] ?? 0;
    if (length === 0 || !this.#memory.isRam(first, split) || !this.#memory.isRam(second, LONGEST)) return false;
    const known = instruction + R.bytes;
    const head = this.#memory.base + first;
    const rest = this.#memory.base + second - split;
    for (let i = 0; i < length; i++) {
      if (bytes[known + i] !== bytes[(i < split ? head : rest) + i]) return false;
    }
    return true;
  }

  #setRemaining(records: readonly number[]): void {
    records.forEach((record, i) => {
      this.#view.setUint16(record + R.remaining, records.length - i, true);
    });
  }

  /**
   * Drops the records that cover written bytes, in every mode of the page. Lines stay marked at first, because what was
   * dropped is mostly executed again soon; where write after write finds nothing to drop, the marks are cleared.
   */
  #drop(address: number, size: number): void {
    const frame = Math.floor(address / PAGE_BYTES);
    const from = address - frame * PAGE_BYTES;
    const pages = this.#byFrame.get(frame);
    if (!pages) return;
    let dropped = false;
    for (const page of pages) if (this.#dropIn(page, from, from + size)) dropped = true;
    if (dropped) this.#futile = 0;
    else if (++this.#futile > FUTILE_WRITES || size > LINE_BYTES) {
      this.#unmark(frame, pages, from >> 6, (from + size - 1) >> 6);
    }
  }
  #futile = 0;

  #dropIn(page: CodePage, from: number, to: number): boolean {
    let dropped = false;
    const words = this.#words;
    const first = page.map >>> 2;
    for (let offset = Math.max(0, from - LONGEST + 1); offset < to; offset++) {
      const record = words[first + offset];
      if (!record || !this.#covers(record, offset, from)) continue;
      dropped = true;
      words[first + offset] = 0;
      this.#dropped.set(page.map + offset * 4, record);
      // The executor may want to stop here; it sees then that the record was dropped.
      if (this.#view.getUint16(record + R.handler, true) === PSEUDO.stop) continue;
      this.#view.setUint16(record + R.handler, PSEUDO.refetch, true);
      this.#view.setUint32(record + R.link, 1, true);
    }
    return dropped;
  }

  /** A record at `offset` reaches the byte at `from`. One that crosses the page has no length: it is checked always. */
  #covers(record: number, offset: number, from: number): boolean {
    const length = this.#bytes[record + R.length] ?? 0;
    return length > 0 && offset + length > from;
  }

  /** Clears the marks of lines that no record covers any more. */
  #unmark(frame: number, pages: readonly CodePage[], first: number, last: number): void {
    for (let line = first; line <= last; line++) {
      const start = line * LINE_BYTES;
      const covered = pages.some((page) => {
        for (let offset = Math.max(0, start - LONGEST + 1); offset < start + LINE_BYTES; offset++) {
          const record = this.#view.getUint32(page.map + offset * 4, true);
          if (record && this.#covers(record, offset, start)) return true;
        }
        return false;
      });
      if (!covered) this.#memory.clearCodeLine(frame, line);
    }
  }
}
