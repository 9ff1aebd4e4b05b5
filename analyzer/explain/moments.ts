/** When a line of a log was printed, and whether two lines of a dump can be of one moment. */

/** A clock of a log: lines are compared by the same one only. */
type Clock = 'boot' | 'date';

/** What a line says of its time. */
export interface Moment {
  readonly clock: Clock;
  /** Seconds: since the boot, or of the calendar as the line has it, whatever its zone. */
  readonly seconds: number;
  /** East of Greenwich, in seconds; null where the line does not say. */
  readonly zone: number | null;
  /** As it stands in the line. */
  readonly text: string;
}

/** printk's clock may differ between processors by this much, in seconds. */
const CLOCK_SKEW = 0.001;
/** Dates are kept by who wrote the log, to a second, and not in order. */
const DATE_SKEW = 2;
/** A dump is shorter than this, in bytes. */
const DUMP = 8192;
/** The slowest console there is: 9600 baud, ten bits a byte. The printer waits for it. */
const BYTES_PER_SECOND = 960;
const YEAR = 366 * 24 * 3600;
/** Clocks are set back by this much when summer ends. */
const HOUR = 3600;

const BOOT = /(?:^|[[\s])(\d{1,10}\.\d{3,9})\]/;
const ISO = /(?:^|[^\d])(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d{1,9}))?(Z|[+-]\d\d:?\d\d)?(?![\d:])/i;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const SYSLOG = new RegExp(
  `\\b(${MONTHS.join('|')}) {1,2}(\\d{1,2}) (\\d\\d):(\\d\\d):(\\d\\d)(?:\\.(\\d{1,9}))?(?: (\\d{4}))?`,
  'i',
);
/** A year with a 29th of February, for dates without one. */
const SOME_YEAR = 2024;

/** Of `Z`, `+0200` or `+02:00`. */
function zoneOf(zone: string | undefined): number | null {
  if (zone === undefined) return null;
  const [sign = '+', hours = 0, minutes = 0] = [zone[0], zone.slice(1, 3), zone.replace(':', '').slice(3)];
  return (sign === '-' ? -60 : 60) * (60 * Number(hours) + Number(minutes));
}

const dateOf = (text: string, numbers: readonly string[], fraction?: string, zone?: string): Moment => {
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = numbers.map(Number);
  const whole = Date.UTC(year, month - 1, day, hour, minute, second) / 1000;
  return { clock: 'date', seconds: whole + Number(`0.${fraction ?? 0}`), zone: zoneOf(zone), text: text.trim() };
};

/** The time of a line: that of the ring buffer, else the date in front of it; null where it has none. */
export function momentOf(line: string): Moment | null {
  const boot = BOOT.exec(line)?.[1];
  if (boot !== undefined) return { clock: 'boot', seconds: Number(boot), zone: null, text: `${boot} s` };
  const iso = ISO.exec(line);
  if (iso !== null) return dateOf(iso[0].replace(/^[^\d]/, ''), iso.slice(1, 7), iso[7], iso[8]);
  const syslog = SYSLOG.exec(line);
  if (syslog === null) return null;
  const [text, month = '', day = '', hour = '', minute = '', second = '', fraction, year] = syslog;
  const number = String(MONTHS.findIndex((name) => name.toLowerCase() === month.toLowerCase()) + 1);
  return dateOf(text, [year ?? String(SOME_YEAR), number, day, hour, minute, second], fraction);
}

/** Why two lines that follow each other in a dump are of different moments. */
export interface Jump {
  readonly kind: 'back' | 'forward';
  readonly says: string;
}

const spell = (seconds: number): string =>
  seconds < 120
    ? `${Math.ceil(seconds)} s`
    : seconds < 7200
      ? `${Math.round(seconds / 60)} min`
      : `${Math.round(seconds / 3600)} h`;

/**
 * Time goes back, or on by more than it takes to print what lies between and a whole dump over the slowest console.
 * @param bytes bytes of the log from the one line to the other
 */
export function jumpBetween(before: Moment, now: Moment, bytes: number): Jump | null {
  if (before.clock !== now.clock) return null;
  const zones = before.zone === null || now.zone === null ? 0 : now.zone - before.zone;
  let passed = now.seconds - before.seconds - zones;
  // A date without its year begins anew in January.
  if (now.clock === 'date' && passed < -YEAR / 2) passed += YEAR;
  const longest = (DUMP + bytes) / BYTES_PER_SECOND;
  const isSet = now.clock === 'date' && (before.zone === null || now.zone === null);
  // The clock was set back, as far as the lines say.
  if (isSet && passed + HOUR >= -DATE_SKEW && passed + HOUR <= longest) return null;
  if (passed < -(now.clock === 'boot' ? CLOCK_SKEW : DATE_SKEW))
    return { kind: 'back', says: `${before.text} is followed by ${now.text}` };
  if (passed <= longest) return null;
  const why = `over the slowest console, of 9600 baud, a dump of ${DUMP / 1024} KiB and what stands between take ${spell(longest)}`;
  return { kind: 'forward', says: `${before.text} is followed by ${now.text}, ${spell(passed)} later: ${why}` };
}
