/**
 * Whether addresses of a text can be hexadecimal, as nm prints them unless it was told otherwise (`nm -t d`, `-t o`). They
 * look alike, but for the digits: of those that are not 0, six of fifteen are letters.
 */

/** So many digits, and no letter among them: one of ten million texts in hexadecimal has none. */
const ENOUGH = 32;
/** As many as a 64-bit address has. */
const WIDTH = 16;

export class Radix {
  #isHex = false;
  #before = '0'.repeat(WIDTH);
  #digits = 0;
  #largest = '0';

  /** Takes the digits of an address and of what else is of its radix; `isSaid` where it has a prefix. */
  take(address: string, size: string, isSaid: boolean): void {
    this.#isHex ||= isSaid || /[a-f]/i.test(address + size);
    if (this.#isHex) return;
    // Digits that an address shares with another say no more, nor does the first one in which it differs.
    const digits = address.padStart(WIDTH, '0');
    let shared = 0;
    while (shared < digits.length && digits[shared] === this.#before[shared]) shared++;
    this.#before = digits;
    for (const digit of digits.slice(shared + 1).replaceAll('0', '')) {
      this.#digits++;
      if (digit > this.#largest) this.#largest = digit;
    }
  }

  /** Why the addresses are not hexadecimal, for all that can be told; null where they may be. */
  get doubt(): string | null {
    if (this.#isHex || this.#digits < ENOUGH) return null;
    const [radix, option] = this.#largest < '8' ? ['octal', 'o'] : ['decimal', 'd'];
    return `its addresses have no digit above ${this.#largest}, so that they are ${radix} ones (nm -t ${option}): give what nm prints without -t`;
  }

  /** Nothing says that they are hexadecimal, and nothing that they are not. */
  get isOpen(): boolean {
    return !this.#isHex && this.#digits > 0 && this.#digits < ENOUGH;
  }
}
