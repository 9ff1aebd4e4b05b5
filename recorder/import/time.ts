/** Times as two halves of 32 bits, signed: V8 keeps such numbers as integers, and what may be above 2^31 as doubles. */

/** What turns the order of signed 32-bit numbers into that of the unsigned ones with the same bits. */
const SIGN = 0x8000_0000 | 0;

/** True if a time is after another. */
export const later = (high: number, low: number, thanHigh: number, thanLow: number): boolean =>
  high !== thanHigh ? (high ^ SIGN) > (thanHigh ^ SIGN) : (low ^ SIGN) > (thanLow ^ SIGN);

/** The time whose halves these are. */
export const timeOf = (high: number, low: number): bigint =>
  (BigInt.asUintN(32, BigInt(high)) << 32n) | BigInt.asUintN(32, BigInt(low));

/** High and low half of a time. */
export const halvesOf = (time: bigint): [number, number] => [
  Number(BigInt.asIntN(32, time >> 32n)),
  Number(BigInt.asIntN(32, time)),
];
