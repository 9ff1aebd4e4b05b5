/**
 * Whether a command of perf recorded every event that it asked for. What a perf.data says of its events does not tell:
 * filters are set, and events switched on, by calls of their own (perf-record(1)).
 */

/** The program, as perf finds its own name (perf_exe): distributions name it by version. */
const PERF = /(?:^|\/)\.?perf[^/]*$/;
/** Commands that record what the words behind them say; others add filters of their own, or write files anew. */
const RECORDS: { readonly [command: string]: (words: readonly string[]) => boolean } = {
  record: () => true,
  kvm: (words) => words.some((word) => word.length > 2 && 'record'.startsWith(word)),
};

/**
 * Words by which some of the events that are asked for are left out and others are not. Long options may be abbreviated,
 * short ones may be joined.
 */
const LEAVES_OUT: readonly RegExp[] = [
  /^--(?:fi|bpf)/, // --filter
  /^--ex/, // --exclude-perf, a filter
  /^--con/, // --control: events are switched on one by one
  /^--cg|^-[A-Za-z]*G/, // --cgroup: each event may be of another
  /^--gr|\{/, // groups, which take turns where one is of the processor's counters
  /\.(?:bpf|[co])(?![\w.])/, // programs of BPF among the events
];

/** Behind this are the words of what runs while perf records. */
const REST = '--';

/** True where a command, by its words, left out nothing of what it recorded: neither by a filter nor in time. */
export function recordsAll([program = '', command = '', ...rest]: readonly string[]): boolean {
  const end = rest.indexOf(REST);
  const words = end < 0 ? rest : rest.slice(0, end);
  const records = Object.hasOwn(RECORDS, command) ? RECORDS[command] : undefined;
  if (!PERF.test(program) || records?.(words) !== true) return false;
  return !words.some((word) => LEAVES_OUT.some((pattern) => pattern.test(word)));
}
