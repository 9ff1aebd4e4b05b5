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
