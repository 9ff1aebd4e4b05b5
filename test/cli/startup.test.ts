/** What commands load before they read their file: those about hosts' files are asked often, and of small ones. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { inPackage } from '../../traces/guests/guest.js';

const STATIC = /^(?:import|export)\s+(?!type\s)[^'"]*?from\s+'([^']+)'/gm;
/** Each takes longer to load than all else together. */
const HEAVY = ['engine/machine.ts', 'iced-x86', 'apache-arrow'];
const LIGHT = ['explain', 'profile', 'diff', 'import', 'query', 'export', 'help'];

/** Files and packages that a file of the project loads as it is loaded. */
function loadedBy(file: string, loaded = new Set<string>()): ReadonlySet<string> {
  if (loaded.has(file)) return loaded;
  loaded.add(file);
  for (const [, target = ''] of readFileSync(join(inPackage(), file), 'utf8').matchAll(STATIC)) {
    if (target.startsWith('.')) loadedBy(join(dirname(file), target).replace(/\.js$/, '.ts'), loaded);
    else loaded.add(target);
  }
  return loaded;
}

for (const command of LIGHT)
  test(`${command} begins without the machine, the disassembler and apache-arrow`, () => {
    const loaded = loadedBy(`cli/${command}.ts`);
    assert.deepEqual(
      HEAVY.filter((heavy) => loaded.has(heavy)),
      [],
    );
  });

test('replay is seen to load the machine', () => {
  assert.ok(HEAVY.slice(0, 2).every((heavy) => loadedBy('cli/replay.ts').has(heavy)));
});
