/** What `--json` prints is what the help documents: no key that it does not name, none that it only promises. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { COMMANDS } from '../../cli/commands.js';
import { Output } from '../../cli/output.js';
import { runProgram } from '../../cli/program.js';
import { inPackage } from '../../traces/guests/guest.js';

let folder = '';
const at = (name: string): string => join(folder, name);
const SAMPLE = inPackage('traces', 'samples', 'kvm-vmx-basic.txt');

async function trapline(...words: string[]): Promise<string> {
  let out = '';
  const sink = (take: (piece: string) => void) => ({ write: take });
  const output = new Output(
    sink((piece) => {
      out += piece;
    }),
    sink(() => {}),
    {},
  );
  await runProgram(words, output, COMMANDS);
  return out;
}

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'trapline-json-'));
  await trapline('record', 'hypervisor', '--set', 'timer=0', '--set', 'window=0', '-o', at('a.sqlite'));
  await trapline(
    'record',
    'hypervisor',
    '--set',
    'timer=0',
    '--set',
    'window=0',
    '--set',
    'cpuid=20',
    '-o',
    at('b.sqlite'),
  );
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A call of each command that documents its JSON. */
const CALLS: { readonly [command: string]: () => readonly string[] } = {
  record: () => ['cpuid', '-o', at('c.sqlite')],
  run: () => ['cpuid'],
  replay: () => [at('a.sqlite')],
  verify: () => [at('a.sqlite')],
  memory: () => [at('a.sqlite'), '0x100000-0x101000', '-o', at('m.arrow')],
  import: () => [SAMPLE, '-o', at('i.arrow')],
  convert: () => [at('a.sqlite'), '-o', at('v.arrow')],
  profile: () => [at('a.sqlite')],
  diff: () => [at('a.sqlite'), at('b.sqlite')],
  query: () => [at('a.sqlite'), 'select 1 as one'],
  export: () => [at('a.sqlite'), '-o', at('x.csv'), '--as', 'csv'],
  guests: () => [],
  demo: () => [at('tour'), '--no-serve'],
};

/** Names of all keys of a document, at any depth; those of its first level alone with `deep` false. */
function keysIn(value: unknown, deep: boolean): string[] {
  if (Array.isArray(value)) return value.flatMap((item) => keysIn(item, deep));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [key, ...(deep ? keysIn(inner, deep) : [])]);
}

describe('--json', () => {
  for (const [name, words] of Object.entries(CALLS)) {
    it(`${name}: every key of the document is named by the help, and the reverse`, async () => {
      const { command } = (await COMMANDS.find((entry) => entry.name === name)?.load()) ?? {};
      assert.ok(command?.json, `${name} documents no JSON`);
      const document: unknown = JSON.parse(await trapline(name, ...words(), '--json'));
      const documented = Object.entries(command.json);
      const said = documented.map(([key, says]) => `${key} ${says}`).join(' ');
      if (name === 'query') return;
      const names = (key: string): boolean => new RegExp(`\\b${key}\\b`).test(said);
      assert.deepEqual(
        keysIn(document, false).filter((key) => !names(key)),
        [],
        'printed, not documented',
      );
      const printed = new Set(keysIn(document, true));
      assert.deepEqual(
        documented.map(([key]) => key).filter((key) => key !== '[]' && !printed.has(key)),
        [],
        'documented, not printed',
      );
    });
  }

  it('every command that documents JSON is called here, or has a test of its own', async () => {
    const own = ['events', 'explain', 'serve'];
    for (const { name, load } of COMMANDS) {
      const { command } = await load();
      if (command.json && !own.includes(name)) assert.ok(Object.hasOwn(CALLS, name), name);
    }
  });
});
