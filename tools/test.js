// Runs every compiled test and fails where none ran: a test runner that finds nothing exits 0.
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';

const files = readdirSync('dist/test', { recursive: true })
  .map(String)
  .filter((name) => name.endsWith('.test.js'))
  .map((name) => join('dist/test', name))
  .sort();
const runner = spawn(
  process.execPath,
  ['--import', './dist/test/setup.js', '--test', '--test-reporter=tap', ...process.argv.slice(2), ...files],
  { stdio: ['inherit', 'pipe', 'inherit'] },
);
let tail = '';
runner.stdout.on('data', (chunk) => {
  process.stdout.write(chunk);
  tail = (tail + chunk).slice(-1000);
});
runner.on('close', (status) => {
  const passed = Number(/^# pass (\d+)$/m.exec(tail)?.[1] ?? 0);
  if (passed === 0) console.error('no test passed: nothing was tested');
  process.exitCode = status === 0 && passed > 0 ? 0 : 1;
});
