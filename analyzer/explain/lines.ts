/** The lines of a log, one after the other: a log is as large as its writer liked, and its lines are looked at once. */

/** Bytes or characters that are split at a time. */
const BLOCK = 1 << 16;
/** What is kept of a longer line; nothing of it is a line of a dump, mails in quoted-printable included. */
const KEPT = 5000;

/** Bytes, held or read from where they are stored; those of a part are valid until the next part is asked for. */
export interface Bytes {
  readonly length: number;
  subarray(from: number, to: number): Uint8Array;
}

/** A log, as bytes in UTF-8 or as a text. */
export type Log = Bytes | string;

function* blocksOf(log: Log): Generator<string> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  for (let at = 0; at < log.length; at += BLOCK) {
    yield typeof log === 'string'
      ? log.slice(at, at + BLOCK)
      : decoder.decode(log.subarray(at, Math.min(at + BLOCK, log.length)), { stream: true });
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
  const bytes = log.subarray(0, Math.min(SAMPLE, log.length));
  if (UTF16_MARKS.some(([first, second]) => bytes[0] === first && bytes[1] === second)) return true;
  const zeros = [0, 0];
  for (const [i, byte] of bytes.entries()) if (byte === 0) zeros[i % 2] = (zeros[i % 2] ?? 0) + 1;
  const [even = 0, odd = 0] = zeros;
  return Math.min(even, odd) === 0 && Math.max(even, odd) > bytes.length / 4;
}

/** Longer ones may be cut by the end of a block. */
const PHRASE = 80;

/** Whether a phrase of up to 80 characters is anywhere in a log. */
export function hasPhrase(log: Log, pattern: RegExp): boolean {
  let before = '';
  for (const block of blocksOf(log)) {
    if (pattern.test(before + block)) return true;
    before = block.slice(-PHRASE);
  }
  return false;
}

/** A line, or a part of one: what a string spells as a line of its own, or what a terminal showed over it. */
export interface Line {
  readonly text: string;
  /** Its line of the log, from 1. */
  readonly number: number;
}

/** A line as it is looked at: its first characters, without what is for a terminal. */
export interface Seen extends Line {
  /** Characters that it has in the log. */
  readonly length: number;
}

/** The end of a line, as `wc -l`, `grep -n` and editors count them; and of one where a log has no such end. */
const END = /\r?\n/;
const RETURN = /\r/;
/** What ends a part, where a string may spell an end too, as JSON and languages do; at its end that ends none. */
const RETURN_OR_SPELLED_END = /\r|(?:\\{1,4}r)?\\{1,4}n(?!["'])/;
/** What may be the beginning of an end that goes on in the next block. */
const BEGINS_END = /(?:\r|(?:\\{1,4}r)?\\{1,4}n?)$/;
/** No end is longer. */
const LONGEST_END = 10;

/**
 * Lines without their ends, which may be those of any system; of one beyond 5,000 characters as many are kept. A return
 * alone ends one as well, and does not count where other ends do: serial consoles have `\r\r\n`.
 * @param isEscaped so do ends that are spelled within a string
 */
export function* linesOf(log: Log, isEscaped = false): Generator<Line> {
  const end = hasPhrase(log, END) ? END : RETURN;
  const partsOf = (line: string): string[] => {
    if (isEscaped) return line.split(RETURN_OR_SPELLED_END);
    return line.includes('\r') ? line.split(RETURN) : [line];
  };
  let number = 1;
  let open = '';
  for (const block of blocksOf(log)) {
    const text = open + block;
    const whole = text.length - (BEGINS_END.exec(text.slice(-LONGEST_END))?.[0].length ?? 0);
    const lines = text.slice(0, whole).split(end);
    const parts = partsOf(lines.pop() ?? '');
    for (const line of lines) {
      for (const part of partsOf(line)) yield { text: part, number };
      number++;
    }
    const last = parts.pop() ?? '';
    for (const part of parts) yield { text: part, number };
    open = (last.length > KEPT ? last.slice(0, KEPT) : last) + text.slice(whole);
  }
  for (const line of open.split(end)) {
    for (const part of partsOf(line)) yield { text: part, number };
    number++;
  }
}
