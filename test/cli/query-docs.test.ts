/** docs/query.md: its tables are those of the schema, and its examples give what arithmetic gives. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { profile } from '../../analyzer/profile/profile.js';
import { COMMANDS } from '../../cli/commands.js';
import { Output } from '../../cli/output.js';
import { runProgram } from '../../cli/program.js';
import { EVERYTHING } from '../../engine/access-filter.js';
import { ACCESS_KINDS } from '../../engine/observer.js';
import { importTrace } from '../../recorder/import/import.js';
import { TRACEPOINTS } from '../../recorder/import/kvm/table.js';
import { openSource } from '../../recorder/import/source.js';
import { GUESTS } from '../../traces/guests/catalogue.js';
import { inPackage, valuesOf } from '../../traces/guests/guest.js';
import { ENTRY_FAILURES, expectedConsole, expectedExits } from '../../traces/guests/hypervisor.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { TABLES } from '../../traces/schema.js';
import { TraceSql } from '../../traces/sql.js';
import { VIEWS } from '../../traces/views.js';
import { sharedPath } from '../recorder/import-helpers.js';
import { record } from '../recorder/run/scene.js';
import { TRACEPOINT_DOCS } from './tracepoint-docs.js';

const path = inPackage('docs', 'query.md');
const text = readFileSync(path, 'utf8');

/** A heading and a table of columns for each. */
const listed = (
  items: readonly {
    readonly name: string;
    readonly says: string;
    readonly columns: readonly { readonly name: string; readonly says: string; readonly type?: string }[];
  }[],
): string =>
  items
    .map(({ name, says, columns }) => {
      const typed = columns.some(({ type }) => type !== undefined);
      const rows = columns.map(
        (c) => `| \`${c.name}\` | ${typed ? `${c.type} | ` : ''}${c.says.replaceAll('|', '\\|')} |`,
      );
      const head = typed ? '| column | type | |\n|---|---|---|' : '| column | |\n|---|---|';
      return `### ${name}\n\n${says.replace(/[^.]$/, '$&.')}\n\n${head}\n${rows.join('\n')}\n`;
    })
    .join('\n');

const expectedEnd = `${TRACEPOINT_DOCS}\n## Views\n\n${listed(VIEWS)}\n## Tables\n\n${listed(Object.values(TABLES))}`;

const examples = new Map(
  [...text.matchAll(/^### (.+)\n(?:(?!^###)[\s\S])*?```sql\n([\s\S]*?)```/gm)].map(([, title = '', sql = '']) => [
    title,
    sql,
  ]),
);

const settings = { cpuid: 3, out: 2, in: 1, rdmsr: 2, ept: 1, mmio: 1, hlt: 1, timer: 0, window: 0, fail: 'all' };
const hypervisor = GUESTS.get('hypervisor') ?? assert.fail('no guest hypervisor');
const values = valuesOf(hypervisor, settings);
const counted = (): [string, number][] =>
  Object.entries(expectedExits(values))
    .filter(([, n]) => n > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1));

let folder = '';
let trace = '';
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'trapline-query-'));
  trace = join(folder, 'run.sqlite');
  await record(trace, { guest: 'hypervisor', settings, memory: EVERYTHING, budget: 3_000_000 });
});
after(() => rmSync(folder, { recursive: true, force: true }));

type Answer = { readonly [column: string]: unknown };

function ask(title: string, of = trace): Answer[] {
  const sql = new TraceSql(of);
  try {
    const { columns, rows } = sql.ask(examples.get(title) ?? assert.fail(`no example "${title}"`));
    return [...rows].map((row) =>
      Object.fromEntries(
        columns.map(({ name }, i) => {
          const cell = row[i];
          return [name, typeof cell === 'bigint' ? Number(cell) : cell];
        }),
      ),
    );
  } finally {
    sql.close();
  }
}

/** What each example must answer; every one of the document is here. */
const ANSWERS: { readonly [title: string]: (rows: Answer[]) => void } = {
  'Exits by reason': (rows) => {
    assert.deepEqual(rows.map(({ name, n }) => [name, n]).sort(), counted());
    assert.ok(rows.every(({ n, time }) => n === 0 || Number(time) > 0));
  },
  'Tails: the 99th percentile of the handler time': (rows) => {
    const reader = openTrace(trace);
    const known = profile(reader).rows.filter(({ failed, times }) => !failed && times !== null);
    reader.close();
    const expected = known.map(({ reason, times }) => [reason, times?.p99]).sort();
    const failed = ['INVALID_STATE', 'MSR_LOAD_FAIL'];
    assert.deepEqual(
      rows.filter(({ name }) => !failed.includes(String(name))).map(({ name, p99 }) => [name, p99]),
      expected,
    );
  },
  'The hottest instructions': (rows) => assert.equal(rows.length, 3),
  'Exits over time': (rows) => {
    const all = counted().reduce((sum, [, n]) => sum + n, 0);
    assert.equal(
      rows.reduce((sum, { n }) => sum + Number(n), 0),
      all,
    );
  },
  'What an exit was about': (rows) =>
    assert.deepEqual(rows, [
      { port: 'port 0x80 in', n: settings.in },
      { port: 'port 0x80 out', n: settings.out },
    ]),
  'What an exit was about, by its work': (rows) => assert.ok(rows.every(({ n }) => Number(n) > 0)),
  'Entries that failed, and the checks that they broke': (rows) => {
    // The entry of a VMCS that was not launched breaks no check of state.
    const failures = new Set(rows.map(({ seq }) => seq));
    assert.equal(failures.size, ENTRY_FAILURES.size - 1);
  },
  'VM-instruction errors': (rows) => {
    const errors = [...ENTRY_FAILURES.values()].flatMap((failure) => ('error' in failure ? [failure.error] : []));
    const expected = [...new Set(errors)]
      .sort()
      .map((error) => ({ error, n: errors.filter((e) => e === error).length }));
    assert.deepEqual(rows, expected);
  },
  'Who wrote a field of the VMCS, and what': (rows) =>
    // Once at set-up, with bit 1 as the manual demands; then a bad value, and the right one back.
    assert.deepEqual(
      rows.map(({ value }) => value),
      ['0x2', '0x0', '0x2'],
    ),
  'Host-side events by their tracepoint': (rows) => assert.deepEqual(rows, []), // a run of our own machine has none
  'How much work an exit makes': (rows) => {
    assert.deepEqual(
      rows.map(({ name }) => name),
      counted().map(([name]) => name),
    );
    // At the least the handler reads the reason and enters again.
    assert.ok(rows.every(({ events }) => Number(events) >= 2 || events === 0));
  },
  'Registers at an exit': (rows) => assert.equal(rows.length, settings.rdmsr),
  'Who touched a page': (rows) => {
    assert.ok(rows.some(({ kind }) => kind === 'fetch'));
    assert.ok(rows.every(({ kind }) => Object.hasOwn(ACCESS_KINDS, String(kind))));
  },
  'What the guest printed': (rows) =>
    assert.equal(rows.map(({ text: part }) => part).join(''), expectedConsole(values)),
};

describe('docs/query.md', () => {
  it('lists every view, table and column as they are (TRAPLINE_UPDATE_DOCS=1 writes them)', () => {
    const start = text.indexOf(TRACEPOINT_DOCS.split('\n', 1)[0] ?? '');
    if (process.env.TRAPLINE_UPDATE_DOCS === '1') writeFileSync(path, text.slice(0, start) + expectedEnd);
    else assert.equal(text.slice(start), expectedEnd);
  });

  it('has an answer to hold against each example', () => {
    assert.deepEqual([...examples.keys()].sort(), Object.keys(ANSWERS).sort());
  });

  for (const [title, check] of Object.entries(ANSWERS)) it(`"${title}" answers as it must`, () => check(ask(title)));
});

/** What the guest BASIC did, on hosts of both vendors: the collection's MANIFEST.md. */
describe('docs/query.md of an imported recording', () => {
  const total = (rows: Answer[], of: (row: Answer) => boolean): number =>
    rows.filter(of).reduce((sum, { n }) => sum + Number(n), 0);

  for (const name of ['vmx/vmx_basic.trace.dat', 'vmx/vmx_basic.report.txt', 'svm/svm_basic.trace.dat']) {
    const path = sharedPath(`kvm/${name}`);
    it(`answers every example: ${name}`, {
      skip: path === null && 'the shared collection of real data is not here',
    }, () => {
      if (path === null) return;
      const imported = join(folder, `${name.replace('/', '-')}.sqlite`);
      const source = openSource(path);
      try {
        importTrace(source, () => createTrace(imported));
      } finally {
        source.close();
      }
      const answers = new Map([...examples.keys()].map((title) => [title, ask(title, imported)]));
      const of = (title: string): Answer[] => answers.get(title) ?? [];
      const ports = of('What an exit was about');
      assert.deepEqual(
        [' out', ' in'].map((way) => total(ports, ({ port }) => String(port).endsWith(way))),
        [55, 20],
      );
      assert.equal(
        total(ports, ({ port }) => port === 'port 0x3f8 out'),
        50,
      );
      if (name.startsWith('vmx')) {
        assert.equal(
          total(of('Exits by reason'), () => true),
          409,
        );
      }
      const work = of('What an exit was about, by its work');
      assert.equal(
        total(work, (row) => row.work === 'cpuid'),
        100,
      );
      assert.equal(
        total(work, (row) => row.work === 'vmcall'),
        25,
      );
      const printed = readFileSync(path.replace('.trace.dat', '.report.txt'), 'utf8');
      const counts = (tracepoint: string): number => printed.split(`${tracepoint}:`).length - 1;
      const host = of('Host-side events by their tracepoint');
      assert.ok(host.some(({ kind, tracepoint }) => kind === 'mmio_cache' && tracepoint === 'vcpu_match_mmio'));
      for (const { tracepoint, n } of host) assert.equal(n, counts(String(tracepoint)), String(tracepoint));
      assert.equal(
        total(host, () => true),
        [...printed.matchAll(/^.{20,}?\d: (\w+):/gm)].filter(([, tracepoint = '']) => TRACEPOINTS[tracepoint]?.shared)
          .length,
      );
      const page = name.startsWith('svm') ? "name = 'NPF' and gpa is null" : "name = 'IO_INSTRUCTION' and code is null";
      const sql = new TraceSql(imported);
      assert.deepEqual(
        [...sql.ask(`select count(*) as n from exit where ${page}`).rows].map(([n]) => Number(n)),
        [0],
      );
      sql.close();
    });
  }
});

describe('trapline profile of a stored import', () => {
  it('repeats what the importer had to say of all of it', async () => {
    const source = join(folder, 'entries.txt');
    const stored = join(folder, 'entries.sqlite');
    writeFileSync(source, 't-1 [000] 1.0: kvm_hypercall: nr 0x1 a0 0x0 a1 0x0 a2 0x0 a3 0x0\n');
    let said = '';
    const out = { write: (): void => {} };
    const notes = {
      write(piece: string): void {
        said += piece;
      },
    };
    assert.equal(await runProgram(['import', source, '-o', stored], new Output(out, out, {}), COMMANDS), 0);
    await runProgram(['profile', stored], new Output(out, notes, {}), COMMANDS);
    assert.match(said, /no kvm_exit: .* are unknown, not zero/);
  });
});

describe('trapline query', () => {
  it('has kinds, fields and checks by their names in the view `named`', () => {
    const sql = new TraceSql(trace);
    const rowsOf = (statement: string): unknown[][] => [...sql.ask(statement).rows].map((row) => [...row]);
    const named = rowsOf("select seq from named where kind = 'vmwrite' and code_name = 'GUEST_RFLAGS' order by seq");
    assert.deepEqual(rowsOf('select count(*) from named'), rowsOf('select count(*) from event'));
    sql.close();
    assert.deepEqual(
      named.map(([seq]) => Number(seq)),
      ask('Who wrote a field of the VMCS, and what').map(({ seq }) => seq),
    );
  });

  it('--json loses no column of a name that another has, and names it as SQLite does in a subquery', async () => {
    const printed = async (statement: string): Promise<string> => {
      let out = '';
      const sink = {
        write(piece: string): void {
          out += piece;
        },
      };
      await runProgram(['query', trace, '--json', statement], new Output(sink, sink, {}), COMMANDS);
      return out;
    };
    for (const columns of ['1 as a, 2 as a, 3 as b, 4 as a', "1 as a, 2 as 'a:1', 3 as a"]) {
      const out = await printed(`select ${columns}`);
      assert.equal(out, await printed(`select * from (select ${columns})`));
      assert.equal(Object.keys(JSON.parse(out)[0]).length, columns.split(',').length);
    }
  });

  it('-x prints a row as lines of what is there, and counts what is not', async () => {
    let out = '';
    const sink = {
      write(piece: string): void {
        out += piece;
      },
    };
    const statement = "select 7 as number, null as nil, 'word' as word, 1 as one union all select 8, 'x', 'y', 2";
    assert.equal(await runProgram(['query', trace, '-x', statement], new Output(sink, sink, {}), COMMANDS), 0);
    assert.equal(
      out,
      'row 1\n  number  7\n  word    word\n  one     1\n  (1 column is null)\n\nrow 2\n  number  8\n  nil     x\n  word    y\n  one     2\n',
    );
  });
});
