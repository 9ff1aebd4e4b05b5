/** Views that SQL over a trace has besides its tables: what nearly every question begins with. */
import { CODE_DOMAINS } from './codes.js';
import { TABLES, type TableName } from './schema.js';

export interface View {
  readonly name: string;
  readonly says: string;
  readonly columns: readonly { readonly name: string; readonly says: string }[];
  /** Tables and their columns that it reads, whatever is asked of it. */
  readonly reads: { readonly [table in TableName]?: readonly string[] };
  /** Columns of `event` that it hands on, and reads where a statement names them. */
  readonly passes?: readonly string[];
  readonly sql: string;
}

/** Numbers of kinds, as every trace has them: engine/observer.ts. */
const EXIT = 1;
const ENTRY = 2;
const FAILED = 3;
const LOST = 34;

/** Columns of `event` that `exit` has as they are. */
const SAME = [
  'time_ns',
  'vcpu',
  'isa',
  'reason',
  'qualification',
  'info2',
  'rip',
  'cr3',
  'gva',
  'gpa',
  'code',
  'value',
];

const EXIT_VIEW: View = {
  name: 'exit',
  says: 'VM exits and failed entries, with the names of their reasons and how long they were handled',
  columns: [
    { name: 'seq', says: 'the event' },
    { name: 'tick', says: 'machine time' },
    ...SAME.map((name) => ({ name, says: 'as in event' })),
    { name: 'level', says: 'level that exited' },
    { name: 'name', says: 'name of the reason, by the architecture of the event' },
    { name: 'failed', says: '1: a VM entry that failed' },
    { name: 'entry', says: 'seq of the entry that followed on the same vCPU; null where none did' },
    { name: 'handled', says: 'from the exit to that entry: ticks on our machine, nanoseconds or cycles on real hosts' },
  ],
  reads: {
    event: ['seq', 'tick', 'kind', 'from_level', ...SAME],
    dictionary: ['domain', 'code', 'name'],
  },
  // nothing is paired across lost events; a nested entry that was refused has no reason, and was no exit
  sql: `WITH known AS (
  SELECT seq, tick, kind, from_level, ${SAME.join(', ')},
    sum(kind = ${LOST}) OVER (ORDER BY seq) AS gap
  FROM event WHERE kind IN (${EXIT}, ${ENTRY}, ${LOST}) OR (kind = ${FAILED} AND reason IS NOT NULL)
), step AS (
  SELECT *, lead(kind) OVER lane AS next_kind, lead(seq) OVER lane AS next_seq,
    lead(tick) OVER lane AS next_tick, lead(time_ns) OVER lane AS next_ns
  FROM known WHERE kind <> ${LOST}
  WINDOW lane AS (PARTITION BY vcpu, gap ORDER BY seq)
)
SELECT seq, tick, ${SAME.map((name) => `step.${name}`).join(', ')}, from_level AS level,
  coalesce(reasons.name, '0x' || printf('%x', CASE isa WHEN 1 THEN reason & 65535 ELSE reason END)) AS name,
  kind = ${FAILED} AS failed,
  CASE next_kind WHEN ${ENTRY} THEN next_seq END AS entry,
  CASE next_kind WHEN ${ENTRY} THEN coalesce(next_tick - tick, next_ns - time_ns) END AS handled
FROM step LEFT JOIN dictionary AS reasons
  ON reasons.domain = CASE isa WHEN 1 THEN 'reason.vmx' WHEN 2 THEN 'reason.svm' END
  AND reasons.code = CASE isa WHEN 1 THEN reason & 65535 ELSE reason END
WHERE kind IN (${EXIT}, ${FAILED})`,
};

const NAMED_VIEW: View = {
  name: 'named',
  says: 'Events with names where the table `event` has numbers',
  columns: TABLES.event.columns.flatMap(({ name }) => {
    if (name === 'kind') return [{ name, says: 'name of the kind' }];
    if (name === 'tracepoint') return [{ name, says: 'name of the tracepoint; null where the kind says it' }];
    const column = { name, says: 'as in event' };
    return name === 'code' ? [column, { name: 'code_name', says: 'name of the code, where it has one' }] : [column];
  }),
  reads: { event: ['kind', 'tracepoint', 'code'], dictionary: ['domain', 'code', 'name'] },
  passes: TABLES.event.columns.map(({ name }) => name),
  sql: `SELECT ${TABLES.event.columns
    .map(({ name }) => {
      if (name === 'kind') return 'coalesce(kinds.name, event.kind) AS kind';
      if (name === 'tracepoint') return 'tracepoints.name AS tracepoint';
      return name === 'code' ? 'event.code, codes.name AS code_name' : `event.${name}`;
    })
    .join(', ')}
FROM event
LEFT JOIN dictionary AS kinds ON kinds.domain = 'kind' AND kinds.code = event.kind
LEFT JOIN dictionary AS tracepoints ON tracepoints.domain = 'event' AND tracepoints.code = event.tracepoint
LEFT JOIN dictionary AS codes ON codes.code = event.code
  AND codes.domain = CASE ${CODE_DOMAINS.map(({ domain, kinds }) => `WHEN event.kind IN (${kinds.join(', ')}) THEN '${domain}'`).join(' ')} END`,
};

export const VIEWS: readonly View[] = [EXIT_VIEW, NAMED_VIEW];
