/** Time stamps as a trace.dat means them: cycles turned to nanoseconds, an offset added, in halves (time.ts). */

/** Multiplier below 2^32 and shift below 64 that turn cycles into nanoseconds. */
export interface TscClock {
  readonly multiplier: bigint;
  readonly shift: bigint;
}

const HALF = 0x1_0000_0000;

/** The clock of ftrace that counts cycles of the TSC. */
export const TSC = 'x86-tsc';
/** Names of it in recordings; trace-cmd's own is for cycles that are to become nanoseconds. */
export const COUNTS_TSC: ReadonlySet<string> = new Set([TSC, 'tsc2nsec']);

/** How cycles of a frequency, from 1 Hz to 10^18 Hz, become nanoseconds, exact to a part in 2^31. */
export function scaleOf(hz: number): TscClock {
  const multiplier = (shift: bigint): bigint => (1_000_000_000n << shift) / BigInt(Math.round(hz));
  let shift = 0n;
  while (multiplier(shift + 1n) < BigInt(HALF)) shift += 1n;
  return { multiplier: multiplier(shift), shift };
}

/** Clocks of ftrace that do not count nanoseconds: `trace_clocks` of kernel/trace/trace.c, and those of architectures. */
const NOT_TIME = new Set(['counter', 'uptime', TSC, 'ppc-tb', 's390-tod']);

export class Clock {
  readonly hasTime: boolean;
  /** Stamps are times as they are. */
  readonly isPlain: boolean;
  readonly #scaled: boolean;
  /** Digits of 16 bits, lowest first, so that a product of two and their sums are exact. */
  readonly #multiplier: readonly [number, number];
  readonly #shift: number;
  readonly #raw = new Uint16Array(4);
  readonly #product = new Uint16Array(12);
  readonly #offsetLow: number;
  readonly #offsetHigh: number;
  timeLow = 0;
  timeHigh = 0;

  /** `offset` in nanoseconds; `clock` is the name of the one that was recorded with. */
  constructor(tsc: TscClock | null, offset: bigint, clock: string) {
    this.hasTime = tsc !== null || !NOT_TIME.has(clock);
    this.isPlain = tsc === null && offset === 0n;
    this.#scaled = tsc !== null;
    const multiplier = Number(tsc?.multiplier ?? 1n);
    this.#multiplier = [multiplier & 0xffff, multiplier >>> 16];
    this.#shift = Number(tsc?.shift ?? 0n);
    this.#offsetLow = Number(offset & 0xffff_ffffn);
    this.#offsetHigh = Number((offset >> 32n) & 0xffff_ffffn);
  }

  /** Sets the time of a stamp; every recorded event has one. */
  at(low: number, high: number): this {
    this.timeLow = low;
    this.timeHigh = high;
    if (this.isPlain) return this;
    if (this.#scaled) this.#scale(low, high);
    const sum = (this.timeLow >>> 0) + this.#offsetLow;
    this.timeHigh = (this.timeHigh + this.#offsetHigh + (sum >= HALF ? 1 : 0)) | 0;
    this.timeLow = sum | 0;
    return this;
  }

  /** The low 64 bits of stamp * multiplier >> shift. */
  #scale(low: number, high: number): void {
    const raw = this.#raw;
    raw[0] = low;
    raw[1] = low >>> 16;
    raw[2] = high;
    raw[3] = high >>> 16;
    const [m0, m1] = this.#multiplier;
    const product = this.#product;
    let carry = 0;
    for (let i = 0; i < 6; i++) {
      const sum = carry + (i < 4 ? (raw[i] as number) * m0 : 0) + (i > 0 && i < 5 ? (raw[i - 1] as number) * m1 : 0);
      product[i] = sum;
      carry = Math.floor(sum / 0x1_0000);
    }
    const from = this.#shift >>> 4;
    this.timeLow = this.#digits(from);
    this.timeHigh = this.#digits(from + 2);
  }

  /** 32 bits of the product, from its digit `from` and the rest of the shift on. */
  #digits(from: number): number {
    const product = this.#product;
    const bits = this.#shift & 15;
    const first = ((product[from + 1] as number) << 16) | (product[from] as number);
    if (bits === 0) return first;
    return (first >>> bits) | ((product[from + 2] as number) << (32 - bits));
  }
}
