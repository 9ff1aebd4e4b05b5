/** docs/errors.md: every coded error of every room, and no other (TRAPLINE_UPDATE_DOCS=1 writes it). */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BUDGET_ERRORS } from '../analyzer/budget.js';
import { ANALYSIS_ERRORS } from '../analyzer/errors.js';
import { CLI_ERRORS, SYSTEM_ERRORS } from '../cli/errors.js';
import { ENGINE_ERRORS } from '../engine/errors.js';
import { IMPORT_ERRORS } from '../recorder/import/errors.js';
import { InputFileError } from '../recorder/run/inputs.js';
import { TRACE_ERRORS } from '../traces/errors.js';
import { inPackage } from '../traces/guests/guest.js';
import { SqlError } from '../traces/sql.js';
import { WEB_ERRORS } from '../web/server/errors.js';

interface Spec {
  readonly what: string;
  readonly advice: string;
}

const TITLES = {
  'The call': CLI_ERRORS,
  Traces: Object.fromEntries(
    Object.entries(TRACE_ERRORS).map(([code, { what, why, todo }]) => [
      code,
      { what: `${what}: ${why}`, advice: todo },
    ]),
  ),
  'Images and machines': ENGINE_ERRORS,
  Import: IMPORT_ERRORS,
  Questions: ANALYSIS_ERRORS,
  Budgets: BUDGET_ERRORS,
  'Queries and inputs': Object.fromEntries(
    [new SqlError('', ''), new InputFileError('', '')].map((error) => [error.code, error]),
  ),
  'The page': WEB_ERRORS,
  'The operating system': SYSTEM_ERRORS,
} as const satisfies { readonly [title: string]: { readonly [code: string]: Spec } };

const HEAD = `# Errors

Bad input is answered by one line, \`trapline: CODE what: where: why; what to do\`, and exit code 2. What could be read
before it is kept. Exit code 1 is no error: something does not hold (a divergence, a broken budget, a failed entry). 70
is a defect of Trapline: please report it.
`;

const cell = (text: string): string => text.replaceAll('|', '\\|');
const sections = Object.entries(TITLES).map(([title, table]: [string, { readonly [code: string]: Spec }]) => {
  const rows = Object.entries(table).map(
    ([code, { what, advice }]) => `| \`${code}\` | ${cell(what)} | ${cell(advice)} |`,
  );
  return `## ${title}\n\n| code | what happened | what to do |\n|---|---|---|\n${rows.join('\n')}\n`;
});

test('docs/errors.md lists every error as the tables of the rooms have it', () => {
  const path = inPackage('docs', 'errors.md');
  const expected = `${HEAD}\n${sections.join('\n')}`;
  if (process.env.TRAPLINE_UPDATE_DOCS === '1') writeFileSync(path, expected);
  else assert.equal(readFileSync(path, 'utf8'), expected);
});

test('a code means one thing', () => {
  const codes = Object.values(TITLES).flatMap((table) => Object.keys(table));
  assert.deepEqual(
    codes.filter((code, i) => codes.indexOf(code) !== i),
    [],
  );
});

/** Errors that the processor has, not Trapline. */
const OF_THE_PROCESSOR = ['VM_INSTRUCTION_ERRORS', 'ENTRY_ERRORS', 'INSTRUCTION_ERRORS'];

test('no table of errors is left out', () => {
  const here = readFileSync(inPackage('test', 'errors.test.ts'), 'utf8');
  for (const room of ['analyzer', 'cli', 'engine', 'recorder', 'traces', 'web']) {
    for (const name of readdirSync(inPackage(room), { recursive: true }).map(String)) {
      if (!name.endsWith('.ts')) continue;
      const source = readFileSync(join(inPackage(room), name), 'utf8');
      for (const [, table = ''] of source.matchAll(/^export const ([A-Z]+_ERRORS)\b/gm)) {
        if (!OF_THE_PROCESSOR.includes(table)) assert.match(here, new RegExp(`\\b${table}\\b`), `${room}/${name}`);
      }
    }
  }
});
