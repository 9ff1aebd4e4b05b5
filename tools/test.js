// Runs every compiled test and fails where none ran: a test runner that finds nothing exits 0.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const files = readdirSync('dist/test', { recursive: true })
  .map(String)
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => join('dist/test', name))
  .sort();
if (files.length < 20) {
  console.error(`only ${files.length} test files were compiled`);
  process.exit(1);
}
const { status } = spawnSync(
  process.execPath,
  ['--import', './dist/test/setup.js', '--test', ...process.argv.slice(2), ...files],
  { stdio: 'inherit' },
);
process.exit(status ?? 1);
