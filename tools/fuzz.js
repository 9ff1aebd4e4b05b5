// Runs the damage tests of the importers for longer than `npm test` does: `npm run fuzz [runs]`, 50,000 a format.
import { spawnSync } from 'node:child_process';

const runs = process.argv[2] ?? '50000';
const { status } = spawnSync(process.execPath, ['--test', 'dist/test/recorder/import-binary-damage.test.js'], {
  stdio: 'inherit',
  env: { ...process.env, TRAPLINE_FUZZ_RUNS: runs },
});
process.exit(status ?? 1);
