/**
 * What comes late, and what may go on where a recorder empties the buffers of all host CPUs one after the other, round
 * after round: what is older than the newest record of the round before last cannot be overtaken any more.
 */
import { later } from '../time.js';

/** Records that go by: how many are older than one before them. */
export class Passage {
  late = 0;
  /** One may be late: those that come must be looked at. */
  isLoose = false;
  #low = 0;
  #high = 0;

  /** What went by so far was in order, the last at this time; what comes may not be. */
  loosen(low: number, high: number): void {
    if (this.isLoose) return;
    this.isLoose = true;
    this.#low = low;
    this.#high = high;
  }

  /** Takes note of the time of the record that goes by next. */
  passes(low: number, high: number): void {
    if (later(this.#high, this.#low, high, low)) {
      this.late += 1;
      return;
    }
    this.#low = low;
    this.#high = high;
  }
}

export class Rounds {
  /** Time of the newest record that came, of what a round may hand on, and of the newest that went on. */
  newestLow = 0;
  newestHigh = 0;
  limitLow = 0;
  limitHigh = 0;
  doneLow = 0;
  doneHigh = 0;
  /** Records that came after later ones had gone on. */
  late = 0;

  /** Takes note of the time of a record that comes; of those that come in order that of the last is enough. */
  comes(low: number, high: number): void {
    if (!later(high, low, this.newestHigh, this.newestLow)) return;
    this.newestLow = low;
    this.newestHigh = high;
  }

  /** Counts a record that comes where it is late, and says whether it is. */
  isLate(low: number, high: number): boolean {
    if (!later(this.doneHigh, this.doneLow, high, low)) return false;
    this.late += 1;
    return true;
  }

  /** Takes note of the time of a record that goes on. */
  goes(low: number, high: number): void {
    if (!later(high, low, this.doneHigh, this.doneLow)) return;
    this.doneLow = low;
    this.doneHigh = high;
  }

  /** Ends a round, whose newest record is the limit of the next. */
  end(): void {
    this.limitLow = this.newestLow;
    this.limitHigh = this.newestHigh;
  }
}
