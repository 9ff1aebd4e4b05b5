/** Form of SQL statements: whatever is asked, the trace stays as it is and no other file is touched. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { createTrace } from '../../traces/open.js';
import { SqlError, TraceSql } from '../../traces/sql.js';
import { fixture } from '../recorder/import-helpers.js';
import { mutateText } from './mutate.js';
import type { Form, Outcome } from './run.js';

const STATEMENTS = [
  'select reason, count(*) from event group by 1',
  'select e.seq, d.name from event e join dictionary d on d.code = e.reason where e.kind = 0 order by 1 limit 20',
  'select hex64(rip), u64(qualification) from event where ult(rip, 65536) or ule(qualification, -1)',
  'with recursive n(x) as (select 1 union all select x + 1 from n limit 50) select * from n natural join event',
  "select key from run union all select name from dictionary except select 'x'",
  'select max(seq) over (partition by kind order by seq rows 3 preceding) from event limit 5',
];

/** What reaches out of the trace, writes, or never ends unless it is stopped. */
const WORDS = [
  ...["attach database 'stolen.sqlite' as x", 'pragma query_only = 0', '; delete from event', 'drop table event;'],
  ...[
    "select load_extension('x')",
    "vacuum into 'stolen.sqlite'",
    'insert into run values(1,2)',
    'update event set seq=0',
  ],
  ...['pragma_table_info', 'sqlite_master', "writefile('stolen', 'x')", "readfile('/etc/passwd')", 'begin', 'commit;'],
  ...['create table t as ', 'create temp view v as ', 'reindex', 'analyze', 'randomblob(10)', 'zeroblob(999999999999)'],
  ...["printf('%.*c', 999999999, 'x')", 'explain ', 'returning *', '--', '/*', '*/', ' limit 3', "fts3_tokenizer('x')"],
];
/** Answers are read as far as this. */
const ROWS = 200;

const stateOf = (folder: string): string =>
  readdirSync(folder)
    .sort()
    .map(
      (name) =>
        `${name} ${createHash('sha256')
          .update(readFileSync(join(folder, name)))
          .digest('hex')}`,
    )
    .join('\n');

/** Statements whose product of tables would be computed before the first row; time is no bound of a statement. */
const isEndless = (statement: string): boolean => /recursive/i.test(statement) && !/limit\s+\d{1,4}\b/i.test(statement);

export function queryForms(): readonly Form[] {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-fuzz-sql-'));
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'a.sqlite');
  importTrace(memorySource(Buffer.from(fixture('svm-nested.report.txt')), 'seed'), () => createTrace(path));
  let sql = new TraceSql(path);
  const before = stateOf(folder);
  const check = (input: Uint8Array, _original: Uint8Array, run: number): Outcome => {
    const statement = Buffer.from(input).toString('utf8');
    if (isEndless(statement)) return 'refused';
    let outcome: Outcome = 'whole';
    try {
      let left = ROWS;
      for (const row of sql.ask(statement).rows) {
        assert.ok(Array.isArray(row));
        if (--left === 0) break;
      }
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      assert.ok(error.message.length < 500 + statement.length);
      outcome = 'refused';
    }
    if (run % 100 === 0) {
      sql.close();
      assert.equal(stateOf(folder), before, 'the trace and its folder are as they were');
      sql = new TraceSql(path);
    }
    assert.deepEqual(
      readdirSync('.').filter((name) => name.startsWith('stolen')),
      [],
    );
    return outcome;
  };
  const seeds = STATEMENTS.map((statement) => Buffer.from(statement));
  return [
    {
      name: 'sql',
      seeds,
      mutate: (original, random) => Buffer.from(mutateText(Buffer.from(original).toString('utf8'), WORDS, random)),
      check,
    },
  ];
}
