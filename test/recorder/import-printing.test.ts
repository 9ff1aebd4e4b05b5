/** Recordings as installed tools print them in their other forms: the same events as in the usual one. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { type Event, importText, sharedPath } from './import-helpers.js';

const print = (tool: string, words: readonly string[]): string =>
  execFileSync(tool, words, { encoding: 'utf8', maxBuffer: 1 << 28, stdio: 'pipe' });

/** Why a form cannot be tested here, or false. */
function missing(tool: string, path: string | null): string | false {
  if (path === null) return 'the shared collection of real data is not here';
  return spawnSync(tool, ['--version']).error === undefined ? false : `no ${tool}`;
}

interface Form {
  readonly file: string;
  readonly usual: readonly string[];
  readonly other: readonly string[];
}

const REPORT = ['report', '-i'];
const SCRIPT = ['script', '-i'];
const FORMS: readonly Form[] = [
  ...['kvm/svm/svm_basic.trace.dat', 'kvm/svm/svm_2vcpu.trace.dat', 'kvm/vmx/vmx_nested.trace.dat'].flatMap((file) => [
    { file, usual: REPORT, other: ['report', '-l', '-i'] },
    { file, usual: REPORT, other: ['report', '--ts-diff', '-i'] },
    { file, usual: REPORT, other: ['report', '--align-ts', '-i'] },
  ]),
  ...['kvm/svm/svm_basic_perf.perf.data', 'kvm/vmx/vmx_basic_perf.perf.data'].flatMap((file) => [
    { file, usual: SCRIPT, other: ['script', '-F', 'comm,tid,time,event,trace', '-i'] },
    { file, usual: SCRIPT, other: ['script', '-F', 'tid,time,event,trace', '-i'] },
    { file, usual: SCRIPT, other: ['script', '--ns', '-F', 'comm,pid,tid,time,event,trace', '-i'] },
  ]),
];

/** What all forms say alike: some shift times or cut them. */
const alike = ({ time_ns: _time, ...event }: Event): object => event;

describe('other forms in which tools print a recording', () => {
  for (const { file, usual, other } of FORMS) {
    const path = sharedPath(file);
    const tool = file.endsWith('.dat') ? 'trace-cmd' : 'perf';
    it(`${file}: ${other.join(' ')}`, { skip: missing(tool, path) }, () => {
      if (path === null) return;
      const expected = importText(print(tool, [...usual, path]));
      const found = importText(print(tool, [...other, path]));
      assert.deepEqual(found.result.counts.damaged, 0);
      assert.deepEqual(found.events.map(alike), expected.events.map(alike));
      assert.ok(found.events.every(({ time_ns: time }) => typeof time === 'number'));
    });
  }
});
