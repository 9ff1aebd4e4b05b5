/** Whether QEMU printed an error of a failed entry, or a text speaks of it: the first shows in what stands around it. */
import type { Line } from './lines.js';
import { markOf, unmarked } from './marks.js';
import { mayBeginAfter } from './report-lines.js';

/** By which QEMU begins (target/i386/kvm/kvm.c, accel/kvm/kvm-all.c), and the number that ends its line. */
const ERROR = /KVM: entry failed|KVM internal error/i;
const NUMBER = String.raw`^KVM(?:: entry failed, +hardware +error| +internal +error\. +Suberror:) +(?:0x)?[\da-f]{1,16}`;

/** What it prints behind: advice, of which a string may spell the apostrophe in any way, details, registers. */
const ADVICE = String.raw`(?:if you.{1,6}re run+ing a guest|extra data\[|emulation failure|[er]ax ?= ?[\da-f]{8})`;
const REGISTERS = /^[er]ax/i;
const BEHIND = new RegExp(String.raw`\b${ADVICE}`, 'i');

/** Tags that mark words of a sentence; any other ends a line. */
const PHRASE = String.raw`</?(?:a|b|code|em|i|kbd|q|samp|strong|tt)\b[^<>]{0,80}>`;
/**
 * How a string spells the end of a line: of JSON and languages, of rsyslog, of a terminal, of a URL (RFC 3986, 2.1), of XML
 * (4.1), and of quoted-printable, where a `=` alone breaks a line that goes on (RFC 2045, 6.7).
 */
const SPELLED_END = String.raw`\\{1,4}(?:[rn]|0?1[25]|u000[ad]|x0[ad])|#01[25]|\^M|%0[ad]|&(?:#1[03]|#x0*[ad]|nbsp);|=(?:20|0[ad])`;
/**
 * The next column of a table, whose cell is a word, another mark for the end of one (of ASCII: separators and what ends a
 * string), or what continues the line of a shell, but no string of a macro.
 */
const NEXT_COLUMN = String.raw`\s+[|│┃║¦]|[|│┃║¦]\s*$|(?:(?:\t| {2,})[\w.:@/-]+)+\s*$|[\x00-\x08\x1c-\x1f]|(?<!["'\x60]\s*)\s*\\{1,2}\s*$`;
/** The same where there is one in front, too: without a blank, `|` is an "or" elsewhere, and blanks begin a sentence. */
const FURTHER_COLUMN = String.raw`\s*[|│┃║¦]|\t| {2,}`;
/** A column in front: no blanks of a date, of a time of the kernel, or within a pattern. */
const COLUMN = /[^\s[](?:\t| {2,}(?!\d ))|^[^"'\x60(\\]*[|│┃║¦][^"'\x60(\\]*$/;
/** What closes a string, which may stand in another, brackets or letters of another kind. */
const CLOSING = String.raw`\\{0,7}["'\x60]|[*_\])}>]|&(?:quot|apos|#3[49]|#x2[27]);`;
/**
 * Signs of any script behind which nothing follows: closing quotes, marks for the end of a line, blanks of no width, bytes
 * that show nothing; last the `$` of `cat -A`. None ends a sentence, opens a bracket, or is an operator; there is no `/`,
 * for a comment would end.
 */
const SIGNS = String.raw`(?:[^\p{L}\p{N}\p{Sentence_Terminal}\p{Ps}\p{Sm}\p{Sc}&/:\\]|~)*\$?$`;
/**
 * Behind the number stands the end of its line, or of a string of a list, of JSON or of `key="value"`, the next column, or
 * the advice. A quote or a bracket that words follow is one of a sentence.
 */
const endsWith = (column: string): string =>
  String.raw`(?:${CLOSING}|${PHRASE}){0,8}(?:${SIGNS}|,\s*["'{[\d]|\s+\w[\w.]*=\S|${SPELLED_END}|${column}|<(?!${PHRASE.slice(1)})|\s*${ADVICE})`;
const WHOLE = new RegExp(NUMBER + endsWith(NEXT_COLUMN), 'iu');
const IN_COLUMNS = new RegExp(NUMBER + endsWith(`${NEXT_COLUMN}|${FURTHER_COLUMN}`), 'iu');
/** What a log puts behind each of its lines, a host or a time, behind any sign but those of strings, programs and sentences. */
const TAIL = new RegExp(
  String.raw`${NUMBER}(?=[^\w.,;:!?/][^\p{L}\p{N}]{0,80}[\p{L}\p{N}])([^"'\x60\\()[\]{}<>*]{1,120})$`,
  'iu',
);
/** Signs behind a number where a terminal, a program or an editor may have broken it; some put them in front of the rest, too. */
const BROKEN = /[ x][\da-f]{1,7}[^\p{L}\p{N}]+$/iu;
/** The words of a sentence behind a number that it has in brackets: what follows them is none of the number. */
const WORDS_BEHIND = /\d["'\x60]?\) \w/;
const ONLY_DIGITS = /^[^\p{L}\p{N}]*x?[\da-f]{1,8}[^\p{L}\p{N}]*$/iu;
const FIRST_DIGITS = /^[^\p{L}\p{N}]*x?[\da-f]{1,8}/iu;

/** It prints to the stream that the console of a guest may have as well, whose last line has no end yet. */
const GLUED = /(?<=[\w.])(?=KVM: entry failed|KVM internal error)/i;

/** A line with a blank between an error of QEMU and what it follows without one. */
export const unglued = (line: string): string => line.replace(GLUED, ' ');

/** What happened to a guest, or a program, once; what may happen to one, or to many, is said in other forms of the same words. */
const FAILED =
  '(?:died|failed|failure|exited|stopped|crashed|err(?:or)?|fatal|terminated|aborted|killed|shut (?:down|off)|halted|paused|quit)';
const FAILING = String.raw`(?:die|fail|exit|stop|crash|err|terminat|abort|kill|shut|halt|paus|quit)\w*`;
const QUOTE = String.raw`["'\x60“”‘’„«»]`;
/** In front of brackets: a log says what failed, and then what QEMU said; a full stop in it is one of a name or a number. */
const SAYS_FAILED = new RegExp(String.raw`\b${FAILED}\b(?:[^.]|\.(?=\S)){0,80}\(${QUOTE}?$`, 'i');
/** But a report of a user compares it with others, or tells that it did not happen, or no longer does. */
const IS_OTHER = new RegExp(
  [
    String.raw`\b(?:similar|(?<!\b(?:look|seem)s? )(?:un)?like|same as|is not|(?:bug|issue) #?\d|see (?:\(|also|the|bug|issue|report|http))`,
    String.raw`\b(?:no longer|without|previously|fixed in|old (?:\w+ )?(?:vm|guest|host|kernel|one)|no error)\b`,
    String.raw`\b(?:never|not|cannot|\w+n't|nor|would|could|might|may|can)(?: (?:have|has|had|be|been|ever|yet|was|it)\b){0,3} ${FAILING}`,
    String.raw`\b(?:is|are|be|being|gets?|getting) (?:\w+ )?${FAILING}|\b(?:no|any|such|known|common) (?:\w+ )?(?:failure|error)`,
    String.raw`\b(?:prevent|avoid|simulat|inject|patch)\w*`,
  ].join('|'),
  'i',
);

const OPENED = new RegExp(String.raw`\w \(${QUOTE}?$`);
const CLOSED = new RegExp(String.raw`^(?:\)|${QUOTE}\)?) (?![\w.]+[=:])\w`);

/** An error in brackets, or quoted in brackets, with words behind, but not behind what failed. */
export const isInSentence = (front: string, rest: string): boolean =>
  OPENED.test(front) && (IS_OTHER.test(front) || !SAYS_FAILED.test(front)) && CLOSED.test(rest);

/** A test that passed (Test Anything Protocol 14, "Test Points"). */
const PASSED = /^\s*ok\s/;
/** A command that looks for it. */
const LOOKS_FOR = /\b(?:[efz]?grep|rg|ag|ack|awk|sed)\s.{0,200}["'\x60/|^]$/;
/** A string that a program prints or keeps. */
const STATEMENT =
  /[\w\]]!?\((?:[\w.&>:-]+, ?)*b?["'\x60]$|^[+-]?\s*(?:echo|printf?|puts|say|die)\b| [-+.|:]?= ?[([]?["'\x60]$/;
/** A table that has the advice beside an error says what that means. */
const DIVIDED = /[|│┃║]/;
/** What stands in front of each line of a comment that has its own mark. */
const IN_COMMENT = /^(?:\*|\/\/)/;
/** In front of what a sentence quotes. */
const QUOTED = /\w ["'\x60(]+$/;
const ONLY_SIGNS = /^[\s"'\x60>|#*+;:%!,[-]*$/;

/** Numbers of lines, times and addresses differ from one line to the next. */
const spaced = (text: string): string => text.trimEnd().replace(/\d+/g, '0').replace(/\s+/g, ' ');
const shapeOf = (front: string): string => spaced(front).trim();

/** What QEMU prints begins behind this part of a line: nothing, what stands in front of its error too, or what a log writes. */
const beginsAfter = (front: string, first: string): boolean =>
  !STATEMENT.test(front) &&
  (ONLY_SIGNS.test(front) || shapeOf(first).startsWith(shapeOf(front)) || mayBeginAfter(front));

/** The line ends behind the number, which a terminal may have broken. */
function endsInNumber(front: string, text: string, next: string, last: string): boolean {
  const joined = WORDS_BEHIND.test(text)
    ? []
    : [text + next, `${text} ${next}`, text + next + last, `${text} ${next} ${last}`];
  const whole = COLUMN.test(front) ? IN_COLUMNS : WHOLE;
  return [text, ...joined].some((one) => whole.test(one));
}

/**
 * The number of an error may go on in the next line of the window that is not empty, which has nothing but digits, or those and what every
 * line of the log has behind it.
 */
export function mayBeBroken(window: readonly Line[]): boolean {
  const [line = '', ...following] = window.map(({ text }) => text);
  const next = following.find((text) => text.trim() !== '')?.trim() ?? '';
  const at = line.search(ERROR);
  if (at < 0) return false;
  if (BROKEN.test(line)) return ONLY_DIGITS.test(next);
  const tail = TAIL.exec(line.slice(at))?.[1];
  const [digits] = FIRST_DIGITS.exec(next) ?? [];
  return tail !== undefined && digits !== undefined && spaced(next.slice(digits.length)) === spaced(tail);
}

/**
 * Lines behind an error have what QEMU prints next, before another error. It prints an empty line above its advice, which
 * comments that cite both leave out; what is quoted in a sentence goes on at once.
 * @param tail what stands behind the error, and then behind that, too
 */
function isFollowed(first: string, following: readonly string[], isComment: boolean, tail: string): boolean {
  const isQuoted = QUOTED.test(first);
  let isSpaced = !isComment;
  for (const text of following) {
    if (ERROR.test(text)) return false;
    isSpaced ||= text.trim() === '';
    const found = BEHIND.exec(text);
    const isNext = found !== null && (isSpaced || REGISTERS.test(found[0]));
    if (isNext && beginsAfter(text.slice(0, found.index), first) && spaced(text).endsWith(tail)) return true;
    if (isQuoted && text.trim() !== '') return false;
  }
  return false;
}

/**
 * An error of QEMU was printed, and is not only spoken of, whatever stands in front of it, where its line ends behind its
 * number and what QEMU prints next follows: before another error, and behind the same mark.
 * @param window the line, and those after it
 */
export function isPrinted(line: string, window: readonly Line[]): boolean {
  const at = line.search(ERROR);
  const mark = at < 0 ? '' : markOf(line);
  if (at < 0 || PASSED.test(unmarked(line, mark) ?? line) || LOOKS_FOR.test(line.slice(0, at))) return false;
  const following = window.slice(1).map(({ text }) => (mark === '' ? text : (unmarked(text, mark) ?? '')));
  const [next = '', last = ''] = following.map((text) => text.trimStart());
  const [rest, first] = [line.slice(at), unmarked(line.slice(0, at), mark) ?? line.slice(0, at)];
  const isWhole = endsInNumber(line.slice(0, at), rest, next, last);
  const tail = isWhole ? '' : spaced(TAIL.exec(rest)?.[1] ?? '');
  if (!isWhole && tail === '') return false;
  const inLine = isWhole ? BEHIND.exec(rest) : null;
  const before = rest.slice(0, inLine?.index ?? 0);
  if (inLine !== null && !STATEMENT.test(before) && !DIVIDED.test(before)) return true;
  return isFollowed(first, following, IN_COMMENT.test(mark), tail);
}
