/**
 * Logs that a mail archive left in quoted-printable. Parts of a mail may be plain, so that each line is looked at by itself.
 */
import { decodeQuoted, endOfQuoted } from '../../traces/quoted.js';
import { SPELLED_END } from './escaped.js';
import { hasPhrase, type Line, type Log, linesOf } from './lines.js';

const ESCAPE = /=([0-9A-Fa-f]{2})/g;
/** Characters beyond ASCII, in UTF-8: no register has a second sign of equality behind two digits. */
const BEYOND_ASCII = /(?:=[89A-Fa-f][0-9A-Fa-f]){2,}/g;
/** Every `=` begins an escape, or ends the line. */
const CONFORMS = /^(?:[^=]|=[0-9A-Fa-f]{2})*=?[ \t]*$/;
const SOFT = /=[ \t]*$/;
/** Lines with `=3D` from which on a text counts as quoted; a register of a plain one may hold a value like 3D. */
const ENOUGH = 3;
/** RFC 2045: no line is longer. Lines that go on are about as long, and so many of them are no accident. */
const WIDEST = 76;
const LEAST_BROKEN = 60;
const BREAKS = 2;
const HEADER = /^content-transfer-encoding:\s*quoted-printable/i;
/** Longer lines are no line of a dump. */
const LONGEST = 4000;

const conforms = (line: string): boolean => line.length <= LONGEST && CONFORMS.test(line);

/**
 * Whether a text is quoted: its escapes are mostly those of `=`, where those of a plain one are digits of values. One
 * without a `=` of its own has soft breaks alone; then no line may be one that a quoted text has not.
 */
function isQuoted(lines: Iterable<Line>): boolean {
  let [lined, equals, others, breaks] = [0, 0, 0, 0];
  for (const { text: line } of lines) {
    if (HEADER.test(line)) return true;
    const isEncoded = conforms(line);
    if (!isEncoded || line.length > WIDEST) breaks = Number.NEGATIVE_INFINITY;
    else if (SOFT.test(line)) breaks += line.length >= LEAST_BROKEN ? 1 : Number.NEGATIVE_INFINITY;
    if (!isEncoded || !line.includes('=3D')) continue;
    lined++;
    for (const [, code] of line.replace(BEYOND_ASCII, '').matchAll(ESCAPE)) {
      if (code === '3D') equals++;
      else others++;
    }
  }
  return breaks >= BREAKS || (lined >= ENOUGH && equals > others);
}

/** Without any of these a text is not quoted, and its lines need not be looked at. */
const WORTH_A_LOOK = /=3D|quoted-printable|=[ \t]*[\r\n]/i;
const ENCODED = new RegExp(`${WORTH_A_LOOK.source}|${SPELLED_END.source}`, 'i');
/** Escapes that a text has for sure only where it is quoted; blanks at the end of a line are among them. */
const SURE = /=3D|=20$/;

const encoder = new TextEncoder();
const utf8 = new TextDecoder();

function decoded(line: string): string {
  const bytes = encoder.encode(line);
  const target = new Uint8Array(bytes.length);
  return utf8.decode(target.subarray(0, decodeQuoted(bytes, 0, endOfQuoted(bytes, 0, bytes.length), target, 0)));
}

/** The lines of a log, decoded where it is quoted: one that goes on takes what follows. Each has the number it begins at. */
export function unquoted(log: Log): Iterable<Line> {
  // Most logs are neither, which one look tells.
  if (!hasPhrase(log, ENCODED)) return linesOf(log);
  if (hasPhrase(log, WORTH_A_LOOK) && isQuoted(linesOf(log))) return decodedLines(linesOf(log));
  return linesOf(log, hasPhrase(log, SPELLED_END));
}

function* decodedLines(lines: Iterable<Line>): Generator<Line> {
  let open: Line | null = null;
  for (const line of lines) {
    const { text, number } = line;
    const goesOn = SOFT.test(text) && conforms(text);
    if (open === null && !goesOn) {
      yield SURE.test(text) && conforms(text) ? { text: decoded(text), number } : line;
      continue;
    }
    if (open === null) open = { text: decoded(text), number };
    else if (open.text.length < LONGEST) open = { text: open.text + decoded(text), number: open.number };
    if (goesOn) continue;
    yield open;
    open = null;
  }
  if (open !== null) yield open;
}
