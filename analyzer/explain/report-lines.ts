/**
 * Which lines of a log report an error, and which speak of one: those of programs and of their tests, what version
 * control and mails say of changes, and sentences.
 */

/** Rust and its like: what makes, keeps, takes or returns a value of a type, a path that is a line, an arm of a match. */
const kept = (type: string): RegExp => {
  const value = String.raw`(?:\w+::)*\w{0,40}${type}[({][^(){}]{0,80}[)}]+`;
  return new RegExp(
    [
      String.raw`\b(?:matches|vec)!\s?[([{]|^\s*\.\w+\(|\breturn (?:Err|Ok|Some)\(|^\s*return ${value}`,
      String.raw`^\s*(?:let|const|static)\s[^=]{1,80}=`,
      String.raw`^\s*(?:\|\s)?${value} (?:\|$|->)|^\s+\|\s${value}|^\s+(?=\w+::)${value}$`,
    ].join('|'),
  );
};
/** A line of a program that matches a value of a type, or that makes one, not what it printed. */
const MATCHED: readonly (readonly [type: string, pattern: RegExp])[] = [
  ['FailEntry', /=>/],
  [
    'ailValid',
    /ailValid\s*[({][^=]{0,80}=>|=>.{0,80}::\s*\w{0,40}ailValid|^\s+(?:\w+::)*\w{0,40}ailValid\(\w+\)+(?:,| \|)$/,
  ],
  ...['FailEntry', 'ailValid'].map((type) => [type, kept(type)] as const),
];
/** What a program gives a string to, with one blank around the sign; pytest puts those of a failed test below each other. */
const ASSIGNED = String.raw`(?:(?:export|pub|public|private|static|const(?:expr)?|let|var|val|final|auto|char|string|my|local)\b[^="'\x60]{1,80}|[a-z_][\w.]*(?:: ?(?:str|string|bytes))?(?: :)?) ?= [[({]*b?["'\x60]`;

/** The end of a time: of a day, or in seconds, which no section or version has so many decimals of; with the half of the day or the zone, and the year that `date` puts behind. */
const TIME = String.raw`(?:\d{1,2}:\d\d(?:[.,]\d{1,9})?|\d{1,10}[.,]\d{3,9}|\d{1,10}[.,]\d\d?(?<=^[\d\s[]*[.,]\d\d?))(?: ?(?:[A-Z]{1,4}|[+-]\d\d:?\d\d))?(?: \d{4})?`;
/** A test, but no program that is called so: its name stands behind a time, or the host behind that. */
const TEST = new RegExp(
  String.raw`(?<!\S)(?:sub|(?<!${TIME}\]?\s+(?:(?!\w+ing\s|unit\s)[a-z][\w.-]*\s+)?))test:\s`,
  'i',
);
/** What was expected, but no name of a host, and no success in whose place an error came. */
const EXPECTED =
  /\bexpect(?:s|ed)?\b(?!-|:? (?:0(?!\w)|success\b|no error\b)|(?:no error|(?!err|fail|invalid).){0,80}\b(?:got|to (?:fix|pass|succeed|work))\b)/i;
/** The same in tests of Go, which may have it behind what came. */
const WANTED = /\bwant(?:ed)?:? ["'\x60]?(?:\w+::)*(?:vm|kvm\b|\w{0,40}FailEntry)/i;

/** Lines that speak of errors and report none, by what they are. */
const NO_REPORT: readonly RegExp[] = [
  // comments, of which each line may have a mark of its own; lines that a change adds, and commands that a shell traces
  /(?:^|\s)(?:\/\/|\/\*)|\*\/\s*$|^[+-]?\s+\*|^\s*(?:\+|;|--|<!--|#{2,}(?!\[)|"""|'''|REM\b)|^\s+#\s/,
  // statements, of which a string may have a method, or be all that a path is called with
  /\bassert\w*!?\s*\(|\bexpect_\w+\s*\([^"'\x60]*["'\x60]/i,
  /["'\x60]\.\w+\(|^\s+(?:\w+(?:::|\.))+\w+\(\s*b?["'\x60].*["'\x60]\)+[.,;]?$|^\s+\w+\(\s*b?["'\x60].*["'\x60]\)+(?:[,;]$|\.\w+\()/,
  new RegExp(String.raw`^\s*${ASSIGNED}(?!.*\\n["'\x60]\s*$)`, 'i'),
  /(?<![\w.])[a-z][\w.]*!?\(\s*b?["'`](?!\w{1,40}["'`]\): )|\{\s*$|['`],\s*$/,
  // of those that end in a semicolon, calls, assignments, strings and what returns or throws; a sentence may end so as well
  /(?:[\w\])]\(|\s[-+|&]?=\s|^\s*[\w.>[\]-]+=|["'`]|\b(?:return|throw|case|goto)\b).*;\s*$/,
  // commands and queries that look for an error, or print or send one
  /^[+-]?\s*(?:echo|printf|curl)\s|\|[=~] ?\\*["'\x60]|\b(?:expr|query)=["']/,
  /\b(?:[ef]?grep|rg|ag|ack|awk|sed)[\s=]|^\s*[$%]\s/,
  // an entry of an enumeration, a setting of a file or of a command
  /^\s*["']?(?:pattern|reg(?:ular[ _-]?)?exp?|match(?:es)?|contains|substring|needle|search|expr|query)["']?: ?["'\x60]/i,
  /^\s*[A-Z][A-Z0-9_]* = \w+,$|^\s+["']?[a-z]\w*["']?: ?\w+,?$|^\w+=\w+ +[^\s=]*\//,
  // what a test is called, expects, or passed
  /\bPASS(?:ED)?:|^\W*(?:ok|pass(?:ed)?|x(?:fail|pass)|success|skip(?:ped)?)\b|(?:\.{3}|:|--?>?|=>)\s*(?:ok|pass(?:ed)?)\s*$/i,
  /"(?:outcome|result|status)": ?"pass(?:ed)?"/,
  TEST,
  EXPECTED,
  WANTED,
  /\((?:injected|simulated)\)/i,
  // headings of mails, of pages and of changes, with the name of a commit in front or in brackets, and questions
  /^\W*(?:subject|re|fwd?|fixes|title|name|summary|applying|todo|fixme|returns?):|\bsolved\b|[-–—|·] (?:stack overflow|super user|server fault)\s*$/i,
  // a container is named by twelve such digits, which its program or a bar follows
  /^(?!0000|ffff|[0-9a-f]{12} +(?:\| |qemu(?:-kvm|-system-\w+)?: |[\w-]+\[\d+\]: ))[*|\\/_ ]*(?:commit |pick |fixup |squash |reword |HEAD is now at )?(?=\d*[a-f])[0-9a-f]{7,40}(?: \([^)]*\)|:| HEAD@\S+)* (?!\d)/,
  /^\W*\[(?:patch|rfc)\b|^\[\S+ [0-9a-f]{7,40}\]|\?\s*$/i,
];

const LEVEL = 'fatal|err(?:or)?|warn(?:ing)?|crit(?:ical)?|alert|emerg|panic|bug|info|notice|debug|trace';
/** `d1v0` is the vCPU of a domain of Xen, which begins each line about it (`%pv`). */
const WHOSE = String.raw`(?:last|got|nested|guest|host|l[0-2]|vm|p?v?cpu|core)(?: ?#?\d{1,5})?|d\d{1,5}v\d{1,5}`;
const FAILED = '(?:fail(?:ed|ure)|unable)(?: (?:on|for) (?:p?v?cpu|core|guest|vm) ?#?\\d{1,5})?(?: with| due to| by)?';
/**
 * Without a sign behind it: a counter or an address of the kernel, as a commit begins once in 32768; seconds or milliseconds
 * of the epoch; what pytest puts in front of each line of an exception.
 */
const ALONE = '^(?:(?:0000|ffff)[0-9a-f]{4,12}|1\\d{9}(?:\\d{3})?|E)';

/** A container has its name; GitLab its number and a letter behind the time, and `+` where a line goes on. */
const STREAM = String.raw`std(?:out|err) [FP]|Z [\da-f]{2}[EO]\+?`;

/** A test that failed may have no sign in front of what it is called (Test Anything Protocol 14, "Test Points"). */
const NOT_OK = '^\\s*not ok(?: \\d{1,6})?';

/**
 * What stands in front of a report: nothing, or what a log writes before its text, by which programs name themselves, a
 * name of JSON, the stream of a container, a level, a time, whose error it is, and what failed. Words of a sentence that
 * talks of an error are none of these.
 */
const HEAD = new RegExp(
  String.raw`(?:^ ?["'\x60“‘„«]*|(?:: ?|[=(\[{,])b?(?:\\{0,7}["'\x60“‘„«])+|["'] ?: ?["']|${STREAM}|[:\])}>|(=,;#*]|[.!?] |(?:^| )[-–—]{1,3}|\b(?:${LEVEL}|${WHOSE}|${FAILED}|${TIME})|(?:^|[:\]] )vmcs field|${NOT_OK}|${ALONE}) ?$`,
  'i',
);
/** Such a sentence with a head of its own. */
const TALK =
  /\bnot: *$|\b(?:if|when|unless|fix(?:es|ed)?|raise|throw|return|e\.g|i\.e|for example|such as|should (?:be|give|log|print|report|say|show))\b/i;

/** A report ends there, or goes on with what the number means, where it was, a further value, or the advice of QEMU. */
const REST =
  /^\s*(?:$|(?:\\r|\^M)\s*$|\\r\\n["']\s*$|(?:\\r)?\\n(?:"[,}]|'[,)\]}]|\\[nr]|if you(?:'re| are) run+ing\b|[er]ax=)|\\{1,7}["'](?! [^\s=]+(?:\s|$))|[”’»](?=\s*$|[)\]}"]|,? [\w.]+=)|returned by vm(?:launch|resume)\W*$|in \w{1,80}\+0x|for field 0x|[([{<)\]},;:!"'`](?!=)|\.(?![/=”’»])|if you(?:'re| are) run+ing\b|[-–—=]{1,2}>?\s|vm[- ]?(?:entry|launch|resume)\b|[\w.]{1,40} ?[=:]|(?:on|at|in|for|while|during) (?:p?v?cpu|core|guest|vm\b|l[0-2]\b|rip\b|entering|\d))/i;

/** What a system calls those of its own errors that have the number of one of an entry (POSIX, "Error Numbers"). */
const OF_SYSTEM =
  /^\W{0,3}(?:E(?:INTR|IO|NXIO|2BIG|NOEXEC|BUSY|EXIST|XDEV|NOTTY|TXTBSY)\b|interrupted system call|(?:input\/output|i\/o|exec format) error|no such device|device not configured|argument list too long|(?:device or )?resource busy|file exists|(?:invalid )?cross-device link|inappropriate ioctl|not a tty|text file busy)/i;

/**
 * Behind a comma, a full stop or what is quoted a sentence goes on in the next line: what ends there is neither in brackets
 * nor behind a colon, where a report says what its number means, and no name of an error ("VM entry with invalid control
 * field(s)") that a reader of mails broke.
 */
const GOES_ON =
  /^\s*(?=[,.;("'\x60\])])[^:(]*(?:\([^()]*(?:\([^()]*\)[^()]*)*\)[^:(]*)*\b(?:and|or|the|an?|of|in|is|which|that|(?<!\bvm\w*(?:[- ]entry)? )with|(?<!\bblocked )by|for|as)$/i;
const LAST_WORD = /\b(?:and|or|the|an?|of|in|is|which|that|with|by|for|as)$/i;

/** Whether what stands behind a number is a part of a sentence. */
function goesOn(rest: string): boolean {
  const end = rest.trimEnd();
  return LAST_WORD.test(end) && GOES_ON.test(end);
}

/** Whether a report may begin behind this part of a line. */
export function mayBeginAfter(front: string): boolean {
  const trimmed = front.trimEnd();
  return !TALK.test(front) && HEAD.test(trimmed === front ? front : `${trimmed} `);
}

/** Whether a line is a report of what stands between these parts of it, and not a sentence about it. */
export const isReportOf = (front: string, rest: string): boolean =>
  REST.test(rest) && !OF_SYSTEM.test(rest.trimStart()) && !goesOn(rest) && mayBeginAfter(front);

/** Whether a line is by its kind none that reports anything. */
export const reportsNothing = (line: string): boolean =>
  MATCHED.some(([type, pattern]) => line.includes(type) && pattern.test(line)) ||
  NO_REPORT.some((pattern) => pattern.test(line));
