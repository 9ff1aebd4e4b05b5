/** When a line of a log was printed, and whether two lines of a dump can be of one moment. */

/** A clock of a log: lines are compared by the same one only. */
type Clock = 'boot' | 'date' | 'day' | 'delta';

/** What a line says of its time. */
export interface Moment {
  readonly clock: Clock;
  /** Seconds: since the boot, of the calendar or of the day as the line has it, whatever its zone, or since the line before. */
  readonly seconds: number;
  /** East of Greenwich, in seconds; null where the line does not say. */
  readonly zone: number | null;
  /** As it stands in the line. */
  readonly text: string;
}

/** printk's clock may differ between processors by this much, in seconds. */
const CLOCK_SKEW = 0.001;
/** A dump is shorter than this, in bytes. */
const DUMP = 8192;
/** The slowest console there is: 9600 baud, ten bits a byte. The printer waits for it. */
const BYTES_PER_SECOND = 960;
/** Where a clock begins anew that does not say of which day or year it is. */
const ROUND = { date: 366 * 86_400, day: 86_400 } as const;
/** Clocks are set on by this much when summer begins, and back when it ends. */
const HOUR = 3600;
const DAY = 24 * HOUR;
/** Dates are kept by who wrote the log, not in order, and clocks that run fast are set back; in seconds. */
const SET_BACK = 10;

const BOOT = /(?:^|[[\s])(\d{1,10}\.\d{3,9})(?:\]| +<)/;
/** A record of /dev/kmsg: priority, number, microseconds since the boot. */
const KMSG = /^\d{1,5},\d{1,20},(\d{1,18}),/;
/** dmesg --reltime and --show-delta. */
const DELTA = /\[ *\+(\d{1,9}\.\d{3,9})\]/;
/** journalctl -o short-unix. */
const UNIX = /^(\d{9,11}\.\d{3,9}) /;
const TIME = /^\[?(\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?: ([AP]M)\b)?(?![\d:])/i;
/** A year with a 29th of February and without computers, for dates that do not say theirs. */
const SOME_YEAR = 1904;
/** In which it has this day, and other years have not. */
const LEAP_DAY = Date.UTC(SOME_YEAR, 1, 29) / 1000;
/**
 * Seven days of which the Sunday is one on which summer time begins or ends, by the month from 0 and the first of them
 * (IANA time zone database).
 */
const CHANGES: readonly (readonly [month: number, first: number, where: string])[] = [
  [2, 8, 'North America'],
  [10, 1, 'North America'],
  [2, 25, 'Europe'],
  [9, 25, 'Europe'],
  [3, 1, 'Australia, New Zealand'],
  [8, 24, 'New Zealand'],
  [9, 1, 'Australia'],
  [3, 2, 'Chile'],
  [8, 2, 'Chile'],
];
const SUNDAY = 0;

/**
 * Hours east of Greenwich by the names of zones that tzdata abbreviates so, of those that are of one offset only: CST, IST
 * and BST are of several.
 */
const ZONES: { readonly [name: string]: number } = {
  ...{ Z: 0, UTC: 0, GMT: 0, WET: 0, WEST: 1, CET: 1, CEST: 2, EET: 2, EEST: 3, MSK: 3, JST: 9, KST: 9 },
  ...{ EST: -5, EDT: -4, CDT: -5, MST: -7, MDT: -6, PST: -8, PDT: -7, AEST: 10, AEDT: 11, NZST: 12, NZDT: 13 },
};
const NAMED = Object.keys(ZONES).join('|');
const ZONE = String.raw`Z|[+-]\d\d:?\d\d|(?<= |\d)(?:${NAMED})`;

/** Of `Z`, `+0200`, `+02:00` or `CEST`. */
function zoneOf(zone: string | undefined): number | null {
  if (zone === undefined) return null;
  // In small letters it is the name of a host.
  if (/^[a-z]/i.test(zone)) return zone in ZONES || zone === 'z' ? HOUR * (ZONES[zone] ?? 0) : null;
  const [sign = '+', hours = 0, minutes = 0] = [zone[0], zone.slice(1, 3), zone.replace(':', '').slice(3)];
  return (sign === '-' ? -60 : 60) * (60 * Number(hours) + Number(minutes));
}

/** `2025-09-08T22:52:20.1+02:00`, `2025-09-08 22:52:20 CEST`, `2025/09/08 22:52:20`. */
const ISO = new RegExp(
  String.raw`(?:^|[^\d])(\d{4})([-/])(\d\d)\2(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(?: ([AP]M)\b)?(?: ?(${ZONE})\b)?(?![\d:])`,
  'i',
);
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const DAY_TIME = String.raw`(\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?: ([AP]M)\b)?(?: (${ZONE})\b)?`;
/** `Sep  8 22:52:20 CEST 2025` of syslog and `date`, and `08 Sep 2025 22:52:20 CEST` of RFC 5322. */
const SYSLOG = new RegExp(String.raw`\b(${MONTHS.join('|')}) {1,2}(\d{1,2}) ${DAY_TIME}(?: (\d{4})\b)?`, 'i');
const DAY_FIRST = new RegExp(String.raw`\b(\d{1,2}) (${MONTHS.join('|')}) (\d{4}) ${DAY_TIME}`, 'i');

/** Of twelve hours, of which 12 comes first. */
const hourOf = (hour: string, half: string | undefined): number =>
  half === undefined ? Number(hour) : (Number(hour) % 12) + (/^p/i.test(half) ? 12 : 0);

/** @param time hour, minute, second, fraction, half of the day and zone, as far as they are there */
function dateOf(text: string, date: readonly string[], time: readonly (string | undefined)[]): Moment {
  const [year = 0, month = 0, day = 0] = date.map(Number);
  const [hour = '', minute, second, fraction, half, zone] = time;
  const whole = Date.UTC(year, month - 1, day, hourOf(hour, half), Number(minute), Number(second)) / 1000;
  return { clock: 'date', seconds: whole + Number(`0.${fraction ?? 0}`), zone: zoneOf(zone), text: text.trim() };
}

const since = (clock: Clock, seconds: number, text: string): Moment => ({ clock, seconds, zone: null, text });

/** The time of the ring buffer, as its readers print it. */
function bootOf(line: string): Moment | null {
  const boot = BOOT.exec(line)?.[1];
  if (boot !== undefined) return since('boot', Number(boot), `${boot} s`);
  const micros = KMSG.exec(line)?.[1];
  if (micros !== undefined) return since('boot', Number(micros) / 1e6, `${Number(micros) / 1e6} s`);
  const delta = DELTA.exec(line)?.[1];
  return delta === undefined ? null : since('delta', Number(delta), `+${delta} s`);
}

/** The time of the clock on the wall. */
function wallOf(line: string): Moment | null {
  const iso = ISO.exec(line);
  if (iso !== null) {
    const [text, year = '', , month = '', day = '', ...time] = iso;
    return dateOf(text.replace(/^[^\d]/, ''), [year, month, day], time);
  }
  const unix = UNIX.exec(line)?.[1];
  if (unix !== undefined) return { ...since('date', Number(unix), `${unix} s`), zone: 0 };
  return namedOf(line) ?? timeOf(line);
}

/** The time of a line with the name of a month. */
function namedOf(line: string): Moment | null {
  const numberOf = (month: string): string =>
    String(MONTHS.findIndex((name) => name.toLowerCase() === month.toLowerCase()) + 1);
  const first = DAY_FIRST.exec(line);
  if (first !== null) {
    const [text, day = '', month = '', year = '', ...time] = first;
    return dateOf(text, [year, numberOf(month), day], time);
  }
  const syslog = SYSLOG.exec(line);
  if (syslog === null) return null;
  const [text, month = '', day = '', ...time] = syslog;
  return dateOf(text, [time.at(-1) ?? String(SOME_YEAR), numberOf(month), day], time);
}

function timeOf(line: string): Moment | null {
  const [text = '', hour, minute, second, fraction = '0', half] = TIME.exec(line) ?? [];
  const seconds = HOUR * hourOf(hour ?? '', half) + 60 * Number(minute) + Number(`${second}.${fraction}`);
  return hour === undefined ? null : since('day', seconds, text.replace('[', ''));
}

/** The time of a line: that of the ring buffer, else the one in front of it; null where it has none. */
export const momentOf = (line: string): Moment | null => bootOf(line) ?? wallOf(line);

/** The time of a line stands in its first characters, behind the names of hosts and of programs. */
const FRONT = 300;
export const momentAt = (line: string): Moment | null => momentOf(line.slice(0, FRONT));

/** Why two lines that follow each other in a dump are of different moments. */
export interface Jump {
  readonly kind: 'back' | 'forward';
  /** Its clock is one of the wall, and may have been set in between. */
  readonly canBeSet: boolean;
  readonly says: string;
}

/** Whether clocks are known to be set to or from summer time on that day. */
function isDayOfChange({ clock, seconds }: Moment): boolean {
  if (clock !== 'date') return false;
  const date = new Date(seconds * 1000);
  const [month, day] = [date.getUTCMonth(), date.getUTCDate()];
  const mayBeSunday = date.getUTCFullYear() === SOME_YEAR || date.getUTCDay() === SUNDAY;
  return mayBeSunday && CHANGES.some(([of, first]) => month === of && day >= first && day < first + 7);
}

const spell = (seconds: number): string =>
  seconds < 120
    ? `${Math.ceil(seconds)} s`
    : seconds < 7200
      ? `${Math.round(seconds / 60)} min`
      : `${Math.round(seconds / 3600)} h`;

/** Seconds from one moment to another of the same clock, as far as the lines say. */
function passedBetween(before: Moment, now: Moment): number {
  // The line before is at least as late as the one that it is compared with.
  if (now.clock === 'delta') return now.seconds;
  const zones = before.zone === null || now.zone === null ? 0 : now.zone - before.zone;
  const passed = now.seconds - before.seconds - zones;
  const round = now.clock === 'boot' ? Number.POSITIVE_INFINITY : ROUND[now.clock];
  return passed < -round / 2 ? passed + round : passed;
}

/** What more may have passed, or less: clocks that were set, and a day of February that the year may not have. */
function* othersBetween(before: Moment, now: Moment, passed: number): Generator<number> {
  const isSet = (before.zone === null || now.zone === null) && (isDayOfChange(before) || isDayOfChange(now));
  const hours = isSet ? [0, HOUR, -HOUR] : [0];
  const isYearless = [before, now].every(
    ({ clock, seconds }) => clock === 'date' && new Date(seconds * 1000).getUTCFullYear() === SOME_YEAR,
  );
  const [first, last] = [before.seconds, now.seconds].sort((a, b) => a - b);
  const spansLeapDay = isYearless && (first ?? 0) < LEAP_DAY && (last ?? 0) >= LEAP_DAY + DAY;
  for (const hour of hours) {
    yield passed + hour;
    if (spansLeapDay) yield passed + hour - Math.sign(passed) * DAY;
  }
}

/**
 * Time goes back, or on by more than it takes to print what lies between and a whole dump over the slowest console.
 * @param bytes bytes of the log from the one line to the other
 */
export function jumpBetween(before: Moment, now: Moment, bytes: number): Jump | null {
  if (before.clock !== now.clock) return null;
  const passed = passedBetween(before, now);
  const longest = (DUMP + bytes) / BYTES_PER_SECOND;
  const back = now.clock === 'boot' ? CLOCK_SKEW : SET_BACK;
  for (const seconds of othersBetween(before, now, passed)) if (seconds >= -back && seconds <= longest) return null;
  const canBeSet = now.clock === 'date' || now.clock === 'day';
  if (passed < 0) return { kind: 'back', canBeSet, says: `${before.text} is followed by ${now.text}` };
  const why = `over the slowest console, of 9600 baud, a dump of ${DUMP / 1024} KiB and what stands between take ${spell(longest)}`;
  return {
    kind: 'forward',
    canBeSet,
    says: `${before.text} is followed by ${now.text}, ${spell(passed)} later: ${why}`,
  };
}
