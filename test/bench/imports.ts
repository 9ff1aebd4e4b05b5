/**
 * How fast binary recordings come in: the pages that a real kernel wrote, repeated with their times moved on, so that the
 * importer never reads what its own inverse made. Beside it, what trace-cmd needs for the same file.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Profiler } from '../../analyzer/profile/profile.js';
import { COLUMNS } from '../../analyzer/profile/view.js';
import { importTrace } from '../../recorder/import/import.js';
import { openSource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { createTrace } from '../../traces/open.js';
import { asVersion6 } from '../recorder/trace-dat-files.js';
import type { Measured } from './stores.js';

const COPIES = 400;
/** Two vCPUs, every event of kvm; exits and entries alone are a third of it. */
const RECORDING = 'svm-two-vcpus.trace.dat';

function fixture(): Uint8Array {
  let folder = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder);
  return readFileSync(join(folder, 'test', 'recorder', 'fixtures', RECORDING));
}

/** Events a second of processor time, the best of `times` passes: other work on the machine must not count. */
function rate(times: number, pass: () => number): number {
  let best = 0;
  for (let i = 0; i < times; i++) {
    const before = process.cpuUsage();
    const events = pass();
    const { user, system } = process.cpuUsage(before);
    best = Math.max(best, (events * 1e6) / (user + system));
  }
  return best;
}

function profilePass(path: string): number {
  const profiler = new Profiler();
  const source = openSource(path);
  try {
    const writer = new StreamWriter((chunk) => profiler.take(chunk));
    return importTrace(source, () => writer, { columns: COLUMNS, brief: true }).counts.events;
  } finally {
    source.close();
  }
}

function storePass(path: string, trace: string): number {
  const source = openSource(path);
  try {
    return importTrace(source, () => createTrace(trace, { replace: true })).counts.events;
  } finally {
    source.close();
  }
}

/** Events a second of `trace-cmd report` on the file, or null where it is not installed. */
function traceCmd(path: string, events: number): number | null {
  if (spawnSync('trace-cmd', ['--version']).error !== undefined) return null;
  const script = `trace-cmd report -i '${path}' > /dev/null 2>&1; times`;
  const children = execFileSync('bash', ['-c', script], { encoding: 'utf8' }).trim().split('\n').at(-1) ?? '';
  const seconds = [...children.matchAll(/(\d+)m([\d.]+)s/g)].reduce(
    (sum, [, m, s]) => sum + 60 * Number(m) + Number(s),
    0,
  );
  return seconds > 0 ? events / seconds : null;
}

/** Measures the importers of binary recordings. */
export function measureImports(): readonly Measured[] {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-bench-'));
  try {
    const path = join(folder, 'trace.dat');
    writeFileSync(path, asVersion6(fixture(), { copies: COPIES }));
    const line = (name: string, value: number, bound: number): Measured => ({
      name,
      value: value / 1e6,
      unit: 'M events/s',
      bound,
      atMost: false,
    });
    const events = profilePass(path);
    const measured = [
      line(
        'trace.dat, profile without storing',
        rate(3, () => profilePass(path)),
        5,
      ),
      line(
        'trace.dat into a compressed Arrow trace',
        rate(2, () => storePass(path, join(folder, 'a.arrow'))),
        2,
      ),
    ];
    const other = traceCmd(path, events);
    return other === null ? measured : [...measured, line('trace-cmd report on the same file', other, 0)];
  } finally {
    rmSync(folder, { recursive: true });
  }
}
