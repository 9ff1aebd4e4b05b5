/** Rows that were broken into lines: by a mail reader between words, by a terminal wherever its width ended. */
import { VM_INSTRUCTION_ERRORS } from '../detail-bits.js';
import { BARE, isToldByKvm, isToldInFull, reportsIn } from './bare-errors.js';
import { type Hit, hitsOf, mayGoOn, placesOf } from './hits.js';
import { mayHaveMore } from './instruction.js';
import type { Line } from './lines.js';
import { momentOf } from './moments.js';
import type { Row } from './row.js';
import { ROWS } from './rows.js';
import { folded, plain } from './template.js';

/** A row goes on for at most this many lines. */
export const WRAPPED = 2;
/** As many lines again may be empty. */
export const AHEAD = 2 * WRAPPED;
/** What quotes a line of a mail. */
const QUOTE = /^[>|#\s]+/;

/** Heads by which a dump begins and that have as many words are unlike other text: what comes behind one is missed. */
const SPEAKING = 3;

/** What a line ends in that was broken in a head, between its words or amid one, and the last words of that. */
interface Ends {
  readonly all: ReadonlySet<string>;
  readonly last: ReadonlySet<string>;
}

const lastWord = (text: string): string => text.slice(Math.max(text.lastIndexOf(' '), text.lastIndexOf('\t')) + 1);

function endsOf(all: readonly string[]): Ends {
  return { all: new Set(all), last: new Set(all.map(lastWord)) };
}

/** The first words of heads that have several, and all of those that speak for themselves. */
const startsOf = (rows: readonly Row[]): Ends =>
  endsOf(
    rows.flatMap(({ head, opens }) => {
      const words = head.trim().split(' ');
      const most = opens === 'dump' && words.length >= SPEAKING ? words.length : words.length - 1;
      return words.slice(0, most).map((_, i) => words.slice(0, i + 1).join(' '));
    }),
  );

/** The first characters of heads; of those that speak for themselves more than a word. */
const partsOf = (rows: readonly Row[], words: number): Ends =>
  endsOf(
    rows.flatMap(({ head }) =>
      Array.from({ length: head.trim().length - 1 }, (_, i) => head.slice(0, i + 1)).filter(
        (part) => !part.endsWith(' ') && part.split(' ').length > words,
      ),
    ),
  );

const OPENING = ROWS.filter(({ opens }) => opens !== undefined);
const STARTS = startsOf(ROWS);
const OPENING_STARTS = startsOf(OPENING);
const PARTS = partsOf(ROWS, 0);
const OPENING_PARTS = partsOf(OPENING, 1);
/** No head has more words. */
const MOST_WORDS = Math.max(...[...PARTS.all].map((part) => part.split(' ').length));

/** Most lines are told by their last word. */
function endsIn(line: string, { all, last }: Ends): boolean {
  const end = line.trimEnd().replace(PREFIX_OF_NUMBER, '');
  if (!last.has(lastWord(end))) return false;
  const words = folded(end.slice(-LONGEST_HEAD)).split(' ').slice(-MOST_WORDS);
  return words.some((_, i) => all.has(words.slice(i).join(' ')));
}

/** A line ends in the first words of a row, or of a heading that may begin a dump. */
export const endsInHead = (line: string, isOpen: boolean): boolean => endsIn(line, isOpen ? STARTS : OPENING_STARTS);

/** A line ends amid the head of a row, or of a heading that may begin a dump, as a terminal breaks it. */
export const endsAmidHead = (line: string, isOpen: boolean): boolean => endsIn(line, isOpen ? PARTS : OPENING_PARTS);

/** By which QEMU begins what it says of a failed entry. Nothing else is like them, so that no width of a terminal is needed. */
const isError = ({ family, opens }: Row): boolean => family === 'qemu' && opens === 'dump';
const ERRORS = ROWS.filter(isError).map(({ head }) => head.trim());
const ERROR_PARTS = partsOf(ROWS.filter(isError), 0);

/** A line ends amid such a head, and the next goes on with the rest of it. */
export const endsAmidError = (line: string, next = ''): boolean =>
  ERROR_PARTS.last.has(lastWord(line)) &&
  ERRORS.some((head) =>
    Array.from(head).some((_, i) => i > 0 && line.endsWith(head.slice(0, i)) && next.startsWith(head.slice(i))),
  );

/** The last words of all lines that end so; most lines have none of them. */
const LAST_WORDS: ReadonlySet<string> = new Set([
  ...[STARTS, OPENING_STARTS, PARTS, OPENING_PARTS, ERROR_PARTS].flatMap(({ last }) => [...last]),
  ...['0', '0x', '0X'],
]);

/** Whether a line may end in a head or amid one. */
export const mayEndInHead = (line: string): boolean => LAST_WORDS.has(lastWord(line.trimEnd()));

/** So much of one, from its first or to its last character, no other line has. */
const FRONT = 7;
const BACK = 22;

/** The last of the lines, none of which is of a dump, that has such a head or a part of one: what it said is lost. */
export function lostError(lines: readonly Line[]): { readonly line: number; readonly row: Row } | null {
  const isLost = ({ text }: Line, row: Row): boolean => {
    const whole = folded(text);
    return whole.includes(row.head.slice(0, FRONT)) || whole.includes(row.head.trim().slice(-BACK));
  };
  const rows = ROWS.filter(isError);
  const line = lines.findLast((one) => rows.some((row) => isLost(one, row)));
  const row = line && rows.find((one) => isLost(line, one));
  return row === undefined ? null : { line: line?.number ?? 0, row };
}

/** What a line may have of the number behind a head. */
const PREFIX_OF_NUMBER = /(?<!\s)\s+0x?$/i;
/** No head is longer. */
const LONGEST_HEAD = 60;

/** All that a terminal has left of a number for the next line. */
const DIGITS = /^\s*x?[\da-f]{1,8}\s*$/i;
/** The digits that a line ends in, those that the next begins with, and the same where nothing but where it was follows. */
const LAST_DIGITS = /[\da-f]{1,16}$/i;
const FIRST_DIGITS = /^x?[\da-f]{1,16}(?!\w)/i;
const ONLY_DIGITS = /^x?[\da-f]{1,16}(?:[.,;!]{0,3}\s*$| (?:for field|returned by|on v?cpu)\b)/i;
/** The rest of what KVM says of an instruction, which has no length of its own; arch/x86/kvm/vmx/vmx.c. */
const REST_OF_REPORT = /^(?=\s*\S)(x?[\da-f]{0,16})(?: ?(?:err|gpa)=\w{1,18})?\s*$/i;

/** The digits that are the rest of an error, and only fields behind them, or a line of a list of vCPUs. */
const DIGITS_AND_FIELDS = /^x?[\da-f]{1,2}(?:,? \w{1,40}=(?:"[^"]*"|[^\s",]+))+\s*$/i;
/** A field that a line ends in. */
const LAST_FIELD = /=(?:0x)?[\da-f]{1,2}$/i;
/** The number that each line of a log or of a list may begin with (its time, its CPU), and what is between that and the rest. */
const NUMBERED = /^\s*\d+(?!\w)(\W*)/;
/** The first number of a list, of CPUs or vCPUs, of which there may be one alone; or what a program ended with. */
const FIRST_OF_LIST = /^[01](?!\w)/;

/** What the manual, the table here and programs do not all have in what they call an error. */
const SMALL_WORDS: ReadonlySet<string> = new Set([
  'a',
  'an',
  'the',
  'of',
  'or',
  'to',
  'from',
  'that',
  'is',
  'executed',
]);
const wordsOf = (text: string): string[] =>
  (text.toLowerCase().match(/\w+/g) ?? []).filter((word) => !SMALL_WORDS.has(word));

/** A number that KVM does not give goes on in the next line to one that it gives, or to one that nothing else looks like. */
const isToldOnlyAs = (joined: bigint, alone: bigint, next: string): boolean =>
  isToldInFull(joined) || (ONLY_DIGITS.test(next) && isToldByKvm(joined) && !isToldByKvm(alone));

function goesOnAsTold(text: string, next: string): boolean {
  const rest = FIRST_DIGITS.exec(next)?.[0];
  const digits = LAST_DIGITS.exec(text)?.[0];
  if (rest === undefined || digits === undefined) return false;
  if (/^x/i.test(rest)) return digits === '0';
  return isToldOnlyAs(BigInt(`0x${digits}${rest}`), BigInt(`0x${digits}`), next);
}

/** A line ends in digits, or in what stands before them. */
const AT_NUMBER = /[\da-fx]$/i;
/** What ends a number and with it a bracket or a string, or is followed by more of them. */
const IN_BRACKETS = /^x?[\da-f]{1,16}([)\]}]|,(?!\d))/i;
const IN_STRING = /^x?[\da-f]{1,16}[.,;!]{0,3}(\\{0,7}["'\x60]|[”’»])/i;

const OPENING_OF: { readonly [closing: string]: string } = {
  ')': '(',
  ']': '[',
  '}': '{',
  '”': '“',
  '’': '‘',
  '»': '«',
};
/** Brackets and quotes, of a string in a string with what escapes them. An apostrophe amid or behind a word opens none; b'' is a string of Python. */
const SIGN = /[()[\]{}“”‘’«»]|\\{0,7}["\x60]|(?<!(?!\bb)\w)'|(')/g;
const SMILEY = /[:;]-?[()](?=\s|$)/g;

/** The brackets and quotes that are open where a line ends. */
function openIn(line: string): string[] {
  const open: string[] = [];
  for (const [sign, mayClose] of line.replace(SMILEY, '').matchAll(SIGN)) {
    const opening = OPENING_OF[sign];
    const at = opening === undefined && '([{'.includes(sign) ? -1 : open.lastIndexOf(opening ?? sign);
    if (at >= 0) open.length = at;
    else if (opening === undefined && mayClose === undefined) open.push(sign);
  }
  return open;
}

/** The next line ends a bracket or a string that is open where a line ends, or goes on with more of what is in brackets. */
function closes(line: string, next: string): boolean {
  const sign = (IN_BRACKETS.exec(next) ?? IN_STRING.exec(next))?.[1];
  if (sign === undefined) return false;
  const open = openIn(line);
  return sign === ',' ? open.some((one) => '([{'.includes(one)) : open.includes(OPENING_OF[sign] ?? sign);
}

/** All of the manual's words for an error stand behind the digits that a line begins with. */
function isNamed(next: string, error: bigint): boolean {
  const name = VM_INSTRUCTION_ERRORS[Number(error)];
  return name !== undefined && saysFirst(next, name);
}

/** The same, or its number again. */
const isToldTwice = (next: string, error: bigint): boolean =>
  isNamed(next, error) || saysFirst(next, `0x${error.toString(16)}`);

/** The words of a text stand behind the digits that a line begins with. */
function saysFirst(next: string, words: string): boolean {
  const said = wordsOf(next.replace(FIRST_DIGITS, ''));
  return wordsOf(words).every((word, i) => said[i] === word);
}

/** Lines of a log or of a list that begin with a number each do so in one form. */
function isNumbered(next: string, lines: readonly string[]): boolean {
  const sign = NUMBERED.exec(next.trimEnd())?.[1];
  return sign !== undefined && lines.some((line) => NUMBERED.exec(line.trimEnd())?.[1] === sign);
}

/** What the manual gives a name to, or no other number looks like. */
const isMeant = (value: bigint): boolean => isToldInFull(value) || VM_INSTRUCTION_ERRORS[Number(value)] !== undefined;

/**
 * A line ends amid the number of a report in any wording: the next makes one of it, or another that alone can be meant. In
 * brackets that the next line closes it goes on, whatever it comes to. Where the next may be a line of its own, the number
 * is what its line says; null: it is not known which of both.
 * @param beside lines before and behind them
 */
export function endsInReport(line: string, next: string, beside: () => readonly string[]): boolean | null {
  const digits = FIRST_DIGITS.exec(next)?.[0];
  if (digits === undefined || !AT_NUMBER.test(line)) return false;
  const end = line.length;
  const across = (text: string): bigint | undefined =>
    reportsIn(text).find(({ from, to }) => from < end && to > end)?.value;
  const joined = across(line + next);
  const report = reportsIn(line).find(({ to }) => to === end);
  const alone = report?.value;
  if (closes(line, next)) return joined === undefined ? alone !== undefined : isMeant(joined);
  if (joined !== undefined && isToldInFull(joined)) return true;
  if (alone !== undefined && isToldByKvm(alone)) return false;
  const isOnly = joined !== undefined && ONLY_DIGITS.test(next);
  if (alone === undefined) return joined !== undefined && (isOnly || isToldTwice(next, joined));
  // What KVM tells of an entry is no error that no entry has.
  if (isOnly && report?.says.startsWith(BARE.entry) === true && isToldByKvm(joined)) return true;
  // An error that no entry has is of one digit or of two: where nothing tells that it goes on, it is what the line says.
  if (isNumbered(next, [line, ...beside()])) return false;
  // A sentence that only speaks of the error reports neither number.
  const named = joined ?? across(line + digits);
  if (named !== undefined && isNamed(next, named)) return true;
  if (joined === undefined || !isMeant(joined)) return false;
  if (isToldTwice(next, joined)) return true;
  if (FIRST_OF_LIST.test(next)) return false;
  return isOnly || (LAST_FIELD.test(line) && DIGITS_AND_FIELDS.test(next) ? null : false);
}

/** The next line is the rest of a report of KVM: of its number, as far as that can be longer, or what is behind that. */
function isRestOf({ names }: Row, text: string, next: string): boolean {
  const rest = REST_OF_REPORT.exec(next)?.[1];
  const digits = LAST_DIGITS.exec(text)?.[0];
  if (rest === undefined || digits === undefined) return false;
  if (/^x/i.test(rest)) return digits === '0';
  return rest === '' || mayHaveMore(names, digits, rest);
}

/** A line that begins with the value of a row whose name the line before ends with. */
const VALUE = /^[>|#\s]*=\s*(?:0x)?[\da-f]/i;

/**
 * A line with the next one, where a report was broken amid its number, or a row of an open dump before its `=`; null where
 * neither was. A number that may have been is left out.
 * @param beside lines before and behind them
 */
export function withValue(line: string, next: string, beside: () => readonly string[], isOpen: boolean): string | null {
  const goesOn = endsInReport(line, next, beside);
  if (goesOn !== false) return goesOn === null ? line.replace(LAST_DIGITS, '') : line + next;
  if (!isOpen || !VALUE.test(next)) return null;
  const joined = `${line} ${next.replace(QUOTE, '')}`;
  return placesOf(folded(joined)).length > placesOf(folded(line)).length ? joined : null;
}

/** What Linux says behind an EFER that is no field, as far as a line has it, and the whole of that. */
const EFER_SOURCE = /\bEFER=(?:0x)?[\da-f]{16}(?: ?\([a-z]*)?$/i;
const WHOLE_SOURCE = /\bEFER=(?:0x)?[\da-f]{16} ?\((?:effective|autoload)\)$/i;

/** A folded line with the next, where what Linux says of an EFER was broken off; null where it was not. */
export function withSource(text: string, next = ''): string | null {
  const joined = text + next.replace(QUOTE, '').trimEnd();
  return EFER_SOURCE.test(text) && WHOLE_SOURCE.test(joined) ? joined : null;
}

/**
 * A line ends amid a number: in that of a failed entry, where the next makes it one that KVM gives; in that of an
 * instruction, where the next is the rest; in one of a row that may have any number of digits, where they are all of the
 * next line and no line is longer any of a dump.
 */
export function endsInNumber(
  text: string,
  hits: readonly Hit[],
  next: string | undefined,
  isLongest: boolean,
): boolean {
  if (next === undefined) return false;
  return hits.some(({ row, fit: { to, taken } }) => {
    if (to !== text.length || taken.length === 0) return false;
    if (row.opens !== 'dump') return isLongest && row.most.at(-1) !== 1 && DIGITS.test(next);
    if (row.family === 'report') return isRestOf(row, text, next);
    return row.names.includes('error.hardware') && goesOnAsTold(text, next);
  });
}

/** A line as it was before it was broken, and everything of it that fits a row. */
export interface Whole {
  readonly line: string;
  /** The same folded. */
  readonly text: string;
  readonly hits: Hit[];
  /** How many of the lines after it belong to it. */
  readonly lines: number;
  /** It was broken amid a word. */
  readonly isHard: boolean;
}

const isComplete = ({ fit: { taken } }: Hit): boolean => taken.every(({ lost }) => lost === null);

/** A line as it may have been, so far. */
interface Joined {
  readonly line: string;
  readonly isHard: boolean;
  /** No break was amid a word. */
  readonly isSoft: boolean;
}

/**
 * The whole line, where a row goes on behind its end; null where none does. Breaks between words come before those amid
 * them, of which the next line has no time of its own: that would look like the rest of a value.
 * @param following the lines after it
 * @param mayBeHard the line is as long as a terminal was wide, as far as that is known
 * @param isPrinted as for `hitsOf`
 */
export function unwrap(
  line: string,
  following: readonly string[],
  mayBeHard: boolean,
  isPrinted: boolean,
): Whole | null {
  const end = folded(line).length;
  let open: Joined[] = [{ line, isHard: false, isSoft: true }];
  let used = 0;
  let incomplete: Whole | null = null;
  for (const [n, next] of following.entries()) {
    if (next.trim() === '') continue;
    if (++used > WRAPPED) break;
    // A terminal breaks what is for it as well.
    const isHard = momentOf(next) === null;
    const soft = ` ${next.replace(QUOTE, '')}`;
    open = open.flatMap((before) => [
      { ...before, line: before.line + soft },
      ...(isHard ? [{ line: plain(before.line + next), isHard: before.isHard || used === 1, isSoft: false }] : []),
    ]);
    for (const joined of open) {
      const text = folded(joined.line);
      const places = placesOf(text);
      if (!mayGoOn(text, places, end)) continue;
      const hits = hitsOf(text, places, text, isPrinted);
      const across = hits.filter(
        ({ row, fit: { from, to } }) =>
          from < end && to > end && (mayBeHard || joined.isSoft || isError(row) || row.family === 'report'),
      );
      const whole = { ...joined, text, hits, lines: n + 1 };
      if (across.some(isComplete)) return whole;
      if (across.length > 0 && !joined.isHard) incomplete ??= whole;
    }
  }
  return incomplete;
}
