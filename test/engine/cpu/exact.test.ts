/**
 * A run may be cut anywhere: whatever the slices, the state at a tick is one and the same. So it is whether accesses are
 * recorded or not, whatever V8 compiles with, and whatever the decode cache held.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Machine } from '../../../engine/machine.js';
import { digestOf, SUBJECTS, startKernel } from './digests.js';

/** Runs to `end` in slices of random length, some of one tick. */
function runSliced(machine: Machine, end: number, seed: number): void {
  let state = seed;
  while (machine.cpu.tick < end) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    const length = 1 + ((state >>> 8) % ((state & 0x300_0000) === 0 ? 2 : 700));
    if (machine.run(Math.min(end, machine.cpu.tick + length)) !== 'limit') return;
  }
}

for (const { name, start, ticks } of SUBJECTS) {
  test(`${name}: slices change nothing`, () => {
    const whole = start();
    whole.run(ticks);
    const expected = { tick: whole.cpu.tick, digest: digestOf(whole) };
    for (const seed of [1, 2]) {
      const sliced = start();
      runSliced(sliced, ticks, seed);
      // An instruction that a run overshoots with is the same one for every limit.
      sliced.run(expected.tick);
      assert.deepEqual({ tick: sliced.cpu.tick, digest: digestOf(sliced) }, expected);
    }
  });

  for (const content of ['data', 'all'] as const) {
    test(`${name}: recording memory (${content}) changes nothing`, () => {
      const plain = start();
      plain.run(ticks);
      const recorded = start();
      recorded.recordMemory(content);
      recorded.run(ticks);
      assert.equal(digestOf(recorded), digestOf(plain));
    });
  }
}

test('one tick at a time: every tick is one boundary, and RIP and flags are those of one run', () => {
  const stepped = startKernel('crc', 1);
  const seen: string[] = [];
  for (let i = 0; i < 3000; i++) {
    const before = stepped.cpu.tick;
    stepped.run(before + 1);
    seen.push(`${stepped.cpu.tick} ${stepped.cpu.rip} ${stepped.cpu.rflags} ${stepped.cpu.step}`);
    assert.ok(stepped.cpu.tick > before && stepped.cpu.tick <= before + 2);
  }
  for (const at of [1, 17, 100, 999, 2500]) {
    const [tick] = (seen[at] ?? '').split(' ').map(Number);
    const whole = startKernel('crc', 1);
    whole.run(tick ?? 0);
    assert.equal(`${whole.cpu.tick} ${whole.cpu.rip} ${whole.cpu.rflags} ${whole.cpu.step}`, seen[at]);
  }
});

test('every compiler of V8 computes the same', () => {
  const program = fileURLToPath(new URL('digests.js', import.meta.url));
  const [both, ...others] = [[], ['--liftoff-only'], ['--no-liftoff']].map((flags) =>
    execFileSync(process.execPath, [...flags, program], { encoding: 'utf8' }),
  );
  assert.equal(both?.trim().split('\n').length, SUBJECTS.length);
  for (const other of others) assert.equal(other, both);
});
