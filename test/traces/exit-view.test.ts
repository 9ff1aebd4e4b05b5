/** The view `exit` pairs exits with entries as a profile does: not across lost events, and past a refused nested entry. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { it } from 'node:test';
import { ExitIndexBuilder } from '../../analyzer/profile/exit-index.js';
import { COLUMNS } from '../../analyzer/profile/view.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource, openSource } from '../../recorder/import/source.js';
import { inPackage } from '../../traces/guests/guest.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { TraceSql } from '../../traces/sql.js';
import { scratch } from './rows.js';

const exit = (time: string, rip: string): string =>
  ` a-1000 [001] ${time}: kvm_exit: vcpu 0 reason CPUID rip ${rip} info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0\n`;
const entry = (time: string, rip: string): string => ` a-1000 [001] ${time}: kvm_entry: vcpu 0, rip ${rip}\n`;

const GAP = Buffer.from(
  exit('10.000010', '0x1000') +
    'CPU:1 [LOST 55 EVENTS]\n' +
    entry('10.000400', '0x1002') +
    exit('10.000500', '0x1000') +
    entry('10.000503', '0x1002'),
);

for (const [what, source, expected] of [
  ['across lost events', () => memorySource(GAP), { untimed: 1, total: 3000 }],
  ['of a run whose nested entry is refused', () => openSource(fixture('vmx-failed-entry.trace.dat')), null],
  ['of a nested run', () => openSource(fixture('svm-nested.trace.dat')), null],
  ['of a recording that lost events', () => openSource(fixture('svm-ring-too-small.trace.txt')), null],
  ['of Xen', () => openSource(fixture('xen-svm-lost.xentrace')), null],
] as const) {
  it(`times ${what} are those of the profile`, (t) => {
    const path = join(scratch(t), 'trace.sqlite');
    const input = source();
    importTrace(input, () => createTrace(path));
    input.close();
    const builder = new ExitIndexBuilder();
    const reader = openTrace(path);
    for (const chunk of reader.chunks('event', { columns: COLUMNS })) builder.take(chunk);
    reader.close();
    const { times, counts } = builder.finish();
    const profiled = [...times.values].sort((a, b) => a - b);
    const sql = new TraceSql(path);
    const asked = [...sql.ask('select handled from exit').rows].map(([handled]) => handled);
    sql.close();
    const handled = asked.flatMap((each) => (typeof each === 'bigint' ? [Number(each)] : []));
    assert.deepEqual(
      handled.sort((a, b) => a - b),
      profiled,
    );
    assert.equal(
      asked.length,
      counts.reduce((sum, count) => sum + count, 0),
    );
    if (expected === null) return;
    assert.equal(asked.length - handled.length, expected.untimed);
    assert.equal(
      handled.reduce((sum, each) => sum + each, 0),
      expected.total,
    );
  });
}

function fixture(name: string): string {
  return inPackage('test', 'recorder', 'fixtures', name);
}
