/** The lines of a log, one after the other: a log is as large as its writer liked, and its lines are looked at once. */

/** Bytes or characters that are split at a time. */
const BLOCK = 1 << 16;
/** What is kept of a longer line; nothing of it is a line of a dump, mails in quoted-printable included. */
const KEPT = 5000;

/** A log, held as bytes in UTF-8 or as a text. */
export type Log = Uint8Array | string;

function* blocksOf(log: Log): Generator<string> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  for (let at = 0; at < log.length; at += BLOCK) {
    yield typeof log === 'string'
      ? log.slice(at, at + BLOCK)
      : decoder.decode(log.subarray(at, at + BLOCK), { stream: true });
  }
  yield decoder.decode();
}

/** Bytes that are looked at to tell an encoding. */
const SAMPLE = 4096;
const UTF16_MARKS = [
  [0xff, 0xfe],
  [0xfe, 0xff],
] as const;

/** A log is in UTF-16: it has the mark of that, or every other byte is 0, as of text in English. */
export function isUtf16(log: Log): boolean {
  if (typeof log === 'string' || log.length < 2) return false;
  if (UTF16_MARKS.some(([first, second]) => log[0] === first && log[1] === second)) return true;
  const zeros = [0, 0];
  const bytes = log.subarray(0, SAMPLE);
  for (const [i, byte] of bytes.entries()) if (byte === 0) zeros[i % 2] = (zeros[i % 2] ?? 0) + 1;
  const [even = 0, odd = 0] = zeros;
  return Math.min(even, odd) === 0 && Math.max(even, odd) > bytes.length / 4;
}

/** Lines without their ends, which may be those of any system; of one beyond 5,000 characters as many are kept. */
export function* linesOf(log: Log): Generator<string> {
  let open = '';
  for (const block of blocksOf(log)) {
    const text = open + block;
    // The line feed that belongs to it may be in the next block.
    const whole = text.endsWith('\r') ? text.length - 1 : text.length;
    const lines = text.slice(0, whole).split(/\r\n|\n|\r/);
    const last = lines.pop() ?? '';
    yield* lines;
    open = (last.length > KEPT ? last.slice(0, KEPT) : last) + text.slice(whole);
  }
  yield* open.split('\r');
}
