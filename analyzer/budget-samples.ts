/** Handler times of a run by level and reason, for budgets on them. */

import { UNKNOWN_LEVEL } from './profile/event.js';
import type { NameOf } from './profile/lane-names.js';
import { type ProfileRow, reasonName } from './profile/profile.js';
import { Numbers, WordTable } from './profile/table.js';
import type { WalkedExit } from './profile/walk.js';

/** Architectures as events have them. */
export const ISA_CODES = { unknown: 0, vmx: 1, svm: 2 } as const;

export class Samples {
  /** Groups: level << 8 | isa, reason. */
  readonly #groups = new WordTable();
  readonly #group = new Numbers();
  readonly #time = new Numbers();

  /** Takes an exit that an entry followed; failed entries have no handler. */
  take(exit: WalkedExit): void {
    if (exit.failed || exit.time < 0) return;
    this.#group.push(this.#groups.index((exit.level << 8) | exit.isa, exit.reasonLow, exit.reasonHigh));
    this.#time.push(exit.time);
  }

  /** Times of a level and a reason, ascending; null: of all. */
  of(level: number | null, reason: string | null, nameOf: NameOf): Float64Array {
    const wanted = Array.from({ length: this.#groups.size }, (_, g) => {
      const a = this.#groups.a(g);
      const known = a >>> 8 === UNKNOWN_LEVEL ? null : a >>> 8;
      return (
        (level === null || known === level) &&
        (reason === null || reasonName(a & 0xff, this.#groups.value(g), nameOf) === reason)
      );
    });
    return this.#ascending((group) => wanted[group] === true);
  }

  /** Times of a row of a profile, ascending. */
  ofRow({ level, isa, code }: Pick<ProfileRow, 'level' | 'isa' | 'code'>): Float64Array {
    const low = Number(code & 0xffff_ffffn);
    const first = ((level ?? UNKNOWN_LEVEL) << 8) | ISA_CODES[isa ?? 'unknown'];
    const wanted = this.#groups.find(first, low, Number(code >> 32n));
    return this.#ascending((group) => group === wanted);
  }

  #ascending(wanted: (group: number) => boolean): Float64Array {
    const found = new Numbers();
    for (let i = 0; i < this.#group.length; i++) if (wanted(this.#group.get(i))) found.push(this.#time.get(i));
    return found.ascending();
  }
}
