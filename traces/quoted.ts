/**
 * Quoted-printable (RFC 2045, section 6.7), which mail archives leave in pasted text: `=3D` for `=`, and lines that go on
 * behind a `=` at their end. Whether a text is quoted at all, who reads it decides.
 */

const EQUALS = 0x3d;
const isBlank = (byte: number | undefined): boolean => byte === 0x20 || byte === 0x09;

/** Value of a hex digit, -1 for any other byte. */
function digit(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const letter = byte & 0xdf;
  return letter >= 0x41 && letter <= 0x46 ? letter - 0x37 : -1;
}

/** Where the text of the line [start, end) ends: before the `=` and the blanks by which it goes on, else at `end`. */
export function endOfQuoted(bytes: Uint8Array, start: number, end: number): number {
  let last = end;
  while (last > start && isBlank(bytes[last - 1])) last -= 1;
  return last > start && bytes[last - 1] === EQUALS ? last - 1 : end;
}

/**
 * Decodes [start, end), which ends as endOfQuoted says, into `target` from `at` on, as far as that has room; returns where
 * it ends there. A `=` that begins no escape stays.
 */
export function decodeQuoted(bytes: Uint8Array, start: number, end: number, target: Uint8Array, at: number): number {
  let length = at;
  for (let i = start; i < end && length < target.length; i++) {
    let byte = bytes[i] as number;
    if (byte === EQUALS && i + 2 < end) {
      const [high, low] = [digit(bytes[i + 1]), digit(bytes[i + 2])];
      if (high >= 0 && low >= 0) {
        byte = high * 16 + low;
        i += 2;
      }
    }
    target[length] = byte;
    length += 1;
  }
  return length;
}
