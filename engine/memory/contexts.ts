/**
 * Contexts of translations. A context is a set of translations that may be used together: VPID, EPT pointer, privilege.
 * Each has a number that every tag of it carries; dropping a context is forgetting its number, which none gets again
 * before all are dropped.
 */
import { TAG } from './map.js';

export interface TranslationContext {
  readonly vpid: number;
  readonly eptpLow: number;
  readonly eptpHigh: number;
  /** Bit 0: user; bit 1: supervisor that may touch user pages under SMAP. */
  readonly privilege: number;
  readonly number: number;
}

export class Contexts {
  #known: TranslationContext[] = [];
  #next = 1;

  /** No number is left: what carries one has to be dropped, and then `clear` gives them back. */
  get full(): boolean {
    return this.#next > TAG.contexts;
  }

  clear(): void {
    this.#known = [];
    this.#next = 1;
  }

  /** The number of a context; 0 where it has none. */
  find(vpid: number, eptpLow: number, eptpHigh: number, privilege: number): number {
    for (const context of this.#known) {
      if (
        context.privilege === privilege &&
        context.vpid === vpid &&
        context.eptpLow === eptpLow &&
        context.eptpHigh === eptpHigh
      ) {
        return context.number;
      }
    }
    return 0;
  }

  /** Gives a context that has no number the next one; there has to be one left. */
  add(vpid: number, eptpLow: number, eptpHigh: number, privilege: number): number {
    const number = this.#next++;
    this.#known.push({ vpid, eptpLow, eptpHigh, privilege, number });
    return number;
  }

  forget(matches: (context: TranslationContext) => boolean): void {
    this.#known = this.#known.filter((context) => !matches(context));
  }
}
