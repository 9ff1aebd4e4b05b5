/** docs/hosts.md: what it says of the columns and the file that a profile reads. */
import assert from 'node:assert/strict';
import { cpSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import Database from 'better-sqlite3';
import { indexPath, WORTH_KEEPING } from '../../analyzer/profile/beside.js';
import { profile } from '../../analyzer/profile/profile.js';
import { COLUMNS } from '../../analyzer/profile/view.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { inPackage } from '../../traces/guests/guest.js';
import { createTrace } from '../../traces/open.js';
import { TABLES } from '../../traces/schema.js';
import { fixture } from '../recorder/import-helpers.js';
import { reading, scratch } from '../traces/rows.js';

const text = readFileSync(inPackage('docs', 'hosts.md'), 'utf8').replaceAll('\n', ' ');
const listed = [...(/of its columns these alone: ([^;]*);/.exec(text)?.[1] ?? '').matchAll(/`(\w+)`/g)].map(
  ([, name = '']) => name,
);

test('the columns that a profile reads are those of the guide', () => {
  assert.deepEqual(listed, [...COLUMNS]);
});

test('a profile reads no others: where one is damaged, it is the same; where one of the guide is, it says so', (t) => {
  const folder = scratch(t);
  const whole = join(folder, 'whole.sqlite');
  importTrace(memorySource(Buffer.from(fixture('vmx-nested.report.txt')), 'seed'), () => createTrace(whole));
  const expected = reading(whole, profile);
  assert.ok(expected.exits > 0);
  for (const { name, type } of TABLES.event.columns) {
    const path = join(folder, `${name}.sqlite`);
    cpSync(whole, path);
    const db = new Database(path);
    // what the column has nowhere has no tag, and nobody looks for it
    const { changes } = db
      .prepare(`UPDATE event SET "${name}" = ? WHERE "${name}" IS NOT NULL`)
      .run(type === 'text' ? 'x' : type === 'bytes' ? Buffer.from('x') : 77);
    db.close();
    if (changes === 0) continue;
    if (listed.includes(name)) assert.throws(() => reading(path, profile), { code: 'TRACE_DAMAGED' }, name);
    else assert.deepEqual(reading(path, profile), expected, name);
  }
});

test('the file that is kept, and for how many exits, are those of the guide', () => {
  assert.ok(text.includes(`Of a complete trace with ${WORTH_KEEPING.toLocaleString('en')} timed exits or more`));
  for (const kind of ['arrow', 'sqlite'] as const)
    assert.ok(text.includes(`\`${indexPath({ kind, path: `host.${kind}` })}\``));
});
