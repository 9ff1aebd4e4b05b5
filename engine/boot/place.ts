/** Where the loader may put what it builds: pages of RAM that the image does not use. */
import { EngineError } from '../errors.js';

export interface Region {
  readonly start: number;
  /** First address after it. */
  readonly end: number;
}

export const PAGE = 4096;
/** What a PC keeps for itself between its two pieces of RAM. */
export const LOW_END = 0x9_fc00;
export const HIGH_START = 0x10_0000;
/** Page 0 holds the interrupt vectors of real mode. */
const FIRST = PAGE;

export const alignUp = (value: number, to = PAGE): number => Math.ceil(value / to) * to;

export class Places {
  readonly #taken: Region[];
  readonly #usable: number;
  readonly #name: string;

  /** `taken`: what the image occupies, its zeroed memory included. `usable`: bytes of RAM from 0. */
  constructor(taken: readonly Region[], usable: number, name: string) {
    this.#taken = [...taken];
    this.#usable = usable;
    this.#name = name;
  }

  /** The lowest free whole pages, below 1 MiB if they fit there. Throws IMAGE_OUTSIDE_RAM. */
  take(size: number, from = FIRST): number {
    for (const area of [
      { start: FIRST, end: Math.min(LOW_END, this.#usable) },
      { start: HIGH_START, end: this.#usable },
    ]) {
      const start = this.#fit({ start: Math.max(area.start, from), end: area.end }, size);
      if (start !== null) {
        this.#taken.push({ start, end: start + alignUp(Math.max(1, size)) });
        return start;
      }
    }
    throw new EngineError('IMAGE_OUTSIDE_RAM', this.#name, `no room for ${size} bytes beside it`);
  }

  #fit(area: Region, size: number): number | null {
    let start = alignUp(area.start);
    for (;;) {
      const end = start + Math.max(1, size);
      if (end > area.end) return null;
      const obstacle = this.#taken.find((region) => region.start < end && start < region.end);
      if (obstacle === undefined) return start;
      start = alignUp(obstacle.end);
    }
  }
}
