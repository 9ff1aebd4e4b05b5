/**
 * Lines of a dump as the templates of the program that printed them: `CR3 = 0x{GUEST_CR3:16}` takes at least 16
 * hexadecimal digits, because the kernel pads to that width; fewer mean that the line was cut. More, as of a longer value
 * in `%08lx`, are at most what the field holds, and begin with a 0 only where a printer pads to all of that.
 *
 * `{NAME:n}` is a value, `{NAME:n-m}` one of at most m digits where no table says what the field holds, `{NAME:n|m}` one
 * of n digits or of m, `{:n}` one that is no field, `{NAME:=n}` one of n digits and no `0x`, which tells a form from
 * others, `{*}` any word, `{@}` a pointer as the kernel prints it, hashed or not. Blanks count for nothing around `=` and
 * for one elsewhere, so that every kernel's alignment and a reader's tabs fit; between a colon and a value there may be
 * none, where a name is wider than its column (`%-20s`).
 */

/** ESC and BEL, and how journals in JSON, rsyslog and `cat -v` spell them. */
const ESC = String.raw`(?:\u001b|\\(?:u001b|x1b|033|e)|#033|\^\[)`;
const BEL = String.raw`(?:\u0007|\\(?:u0007|x07|007|a)|#007|\^G)`;
/**
 * Control sequences, titles of a terminal, what is for a program, and sets of characters (ECMA-48, 5.4, 8.3.89 and 8.3.2;
 * ECMA-35, 14.3): colours, erasures, the name of a window, the time of Buildkite, what `tput sgr0` sends; and colours of
 * which a page or a copy lost the ESC.
 */
const CONTROL = new RegExp(
  String.raw`${ESC}(?:\[[\d:;?]*[A-Za-z]|\([0-9A-Z]|[\]_][^\u0007\u001b]{0,200}?(?:${BEL}|${ESC}\\))|\[\d{1,3}(?:;\d{1,3})*m`,
  'gi',
);

/** Takes out what is for a terminal. */
export const plain = (line: string): string => line.replace(CONTROL, '');

/** Folds what differs between printers: tabs, runs of blanks, blanks around `=`. */
export const folded = (line: string): string => line.replace(BLANKS, ' ').replace(AROUND_EQUALS, '=').trim();
/** Blanks that are not one space already; what is folded is left alone. */
const BLANKS = / ?[^\S ]\s*| {2,}\s*/g;
const AROUND_EQUALS = / = ?|= /g;

const UPPER = /[A-Z]/;
const LOWER = /[a-z]/;

/** All letters of a text are of one case: its writer changed them, or it has few. */
export const isOneCase = (text: string): boolean => !UPPER.test(text) || !LOWER.test(text);

export interface Template {
  /** What stands before the first value: its presence makes a line one that should fit. */
  readonly head: string;
  /** Names of the values, in order; null for one that is no field. */
  readonly names: readonly (string | null)[];
  /** Least number of digits of each value. */
  readonly digits: readonly number[];
  /** Most digits of each value. */
  readonly most: readonly number[];
  /** Each value has the least or the most digits, and no number of them between. */
  readonly isEither: readonly boolean[];
  /** Only blanks tell the last values apart. */
  readonly isList: boolean;
  /** Whether a number can be the last value of a list beside the base that it has; any can where this is not known. */
  readonly isLast?: (value: bigint, base: bigint) => boolean;
  readonly pattern: RegExp;
  /** The same in any case. */
  readonly anyCase: RegExp;
}

const SLOT = /\{([*@]|[A-Z0-9_.a-z]*:(?:=?\d+|\d+[-|]\d+))\}/g;
const LITERAL = /[.*+?^${}()|[\]\\]/g;

/** No register is wider. */
const WIDEST = 16;
const HEX = '(?:0[xX])?([0-9a-fA-F]{1,16})(?![0-9a-zA-Z])';
/** The last of several values that only blanks tell apart. */
const LAST_OF_LIST = /\} \{[^{}]+\}$/;
/** Another value behind those, or a number of a column that a log has there. */
const ONE_MORE = / ([0-9a-fA-F]{8,16})(?![0-9a-zA-Z])/y;
const exactly = (digits: number): string => `([0-9a-fA-F]{${digits}})(?![0-9a-zA-Z])`;

const WORDS: { readonly [slot: string]: string } = {
  '*': '[^ ]{1,80}',
  '@': String.raw`(?:(?:0x)?[\da-fA-F]{8,16}|\([\w-]{1,16}\))`,
};

/** @param bytesOf bytes that a field holds, by its name; undefined where it is not known */
export function template(text: string, bytesOf: (name: string) => number | undefined): Template {
  const whole = folded(text);
  const names: (string | null)[] = [];
  const digits: number[] = [];
  const most: number[] = [];
  const isEither: boolean[] = [];
  let source = '';
  let at = 0;
  for (const match of whole.matchAll(SLOT)) {
    source += whole.slice(at, match.index).replace(/0x$/, '').replace(LITERAL, '\\$&').replace(/: $/, ': ?');
    at = match.index + match[0].length;
    const [name = '', width = '0'] = (match[1] ?? '').split(':');
    const word = WORDS[match[1] ?? ''];
    if (word !== undefined) source += word;
    else {
      const [least = '', upper] = width.replace('=', '').split(/[-|]/);
      source += width.startsWith('=') ? exactly(Number(least)) : HEX;
      names.push(name === '' ? null : name);
      digits.push(Number(least));
      isEither.push(width.includes('|'));
      most.push(upper === undefined ? 2 * (bytesOf(name) ?? WIDEST / 2) : Number(upper));
    }
  }
  const isList = LAST_OF_LIST.test(whole);
  if (!isList) source += whole.slice(at).replace(LITERAL, '\\$&');
  const head = (whole.split('{')[0] ?? whole).replace(/0x$/, '');
  const [pattern, anyCase] = [new RegExp(source, 'y'), new RegExp(source, 'iy')];
  return { head, names, digits, most, isEither, isList, pattern, anyCase };
}

/** A value that a line gives. */
export interface Taken {
  readonly name: string;
  readonly value: bigint;
  /** It is not as its printer writes it: with too few digits, or with too many; or it may go on where lines are cut. */
  readonly lost: 'cut' | 'garbled' | 'edge' | null;
}

export interface Fit {
  readonly from: number;
  readonly to: number;
  readonly taken: readonly Taken[];
}

const WORD = /[\w.]/;

/** A head at a position is a word of its own, not the end of another. */
export const startsWord = (text: string, head: string, at: number): boolean =>
  at === 0 || !WORD.test(text.charAt(at - 1)) || !WORD.test(head.charAt(0));

/** Whether digits are what a printer writes that pads to the least number of them; where that is 1, any may pad. */
function lossOf(hex: string, least: number, most: number): Taken['lost'] {
  if (hex.length < least) return 'cut';
  if (least === 1) return hex.replace(/^0+/, '').length > most ? 'garbled' : null;
  const isPadded = hex.length > least && hex.startsWith('0');
  return hex.length > most || (isPadded && hex.length < most) ? 'garbled' : null;
}

/** Values of which nothing but their place tells which is which: where two are lost, those behind the first may be others. */
function placed(taken: readonly Taken[]): readonly Taken[] {
  const lost = taken.filter((one) => one.lost !== null);
  const [first] = lost;
  if (first === undefined || lost.length === 1) return taken;
  return taken.filter((one, i) => one.lost !== null || i < taken.indexOf(first));
}

/** The last of these numbers can be the last value of a list: a column of the log, which a lost blank left there, is not. */
function endsList({ isLast, isEither, most }: Template, values: readonly string[]): boolean {
  const last = values.at(-1) ?? '';
  const [longest, base] = [most.at(-1) ?? WIDEST, values.find((_, i) => isEither[i] === true)];
  if (last.length !== longest || base === undefined || isLast === undefined) return last.length <= longest + 1;
  return isLast(BigInt(`0x${last}`), BigInt(`0x${base}`));
}

/**
 * A blank or a break divided one of the values of a list, and which is which is not known: one more is behind them, and not
 * all of them are whole. Halves of one of 16 digits look whole where it may have 8 as well; as wide as the last is what they
 * push out then, and can be the last.
 */
function isDivided(template: Template, values: readonly string[], taken: readonly Taken[], rest: string): boolean {
  const { digits, isEither } = template;
  ONE_MORE.lastIndex = 0;
  const more = ONE_MORE.exec(rest)?.[1];
  if (more === undefined) return false;
  const mayBeHalf = values.some((hex, i) => isEither[i] === true && hex.length === digits[i]);
  const mayBeLast = more.length === digits.at(-1) && endsList(template, [...values.slice(0, -1), more]);
  return taken.some(({ lost }) => lost !== null) || (mayBeHalf && mayBeLast);
}

/** What a template takes from a folded text at a position, or null where it does not fit. */
export function fit(template: Template, text: string, at: number, anyCase: boolean): Fit | null {
  const { names, digits, most, isEither, isList } = template;
  const pattern = anyCase ? template.anyCase : template.pattern;
  pattern.lastIndex = at;
  const match = pattern.exec(text);
  if (match === null) return null;
  const taken: Taken[] = [];
  for (const [i, name] of names.entries()) {
    const hex = match[i + 1] ?? '';
    if (name === null) continue;
    const [least, upper] = [digits[i] ?? 0, most[i] ?? WIDEST];
    const isBetween = isEither[i] === true && hex.length > least && hex.length < upper;
    taken.push({ name, value: BigInt(`0x${hex}`), lost: isBetween ? 'cut' : lossOf(hex, least, upper) });
  }
  const to = at + match[0].length;
  const values = match.slice(1);
  if (isList && (!endsList(template, values) || isDivided(template, values, taken, text.slice(to)))) return null;
  return { from: at, to, taken: isList ? placed(taken) : taken };
}
