/** Traces that are made of traces, and the signals that end their making. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it, test } from 'node:test';
import { start, trapline } from './process.js';

const folder = mkdtempSync(join(tmpdir(), 'trapline-interrupted-'));
test.after(() => rmSync(folder, { recursive: true }));

const names = (): string[] => readdirSync(folder).sort();

/** Commands that write a trace of another one. */
const WORDS = { convert: ['convert', 'run.sqlite'], memory: ['memory', 'run.sqlite', 'all'] } as const;

describe('a trace that is made of another, interrupted', () => {
  before(async () => {
    // the guest never ends: half an event a tick, and 11 accesses an event
    const record = ['record', 'refault', '-o', 'run.sqlite', '--budget', '600000'];
    assert.equal((await trapline(record, folder)).code, 0);
    assert.equal((await trapline(['record', 'halt', '-o', 'old.sqlite'], folder)).code, 0);
  });

  for (const command of ['convert', 'memory'] as const) {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      it(`leaves the old one as it was, says so, and ends ${command} by ${signal}`, async () => {
        const digest = (await trapline(['verify', 'old.sqlite'], folder)).out;
        const there = names();
        const running = start([...WORDS[command], '-o', 'old.sqlite', '--replace'], folder);
        await running.until(() => names().length > there.length);
        running.child.kill(signal);
        const { code, err } = await running.ended();
        assert.deepEqual([code, running.child.signalCode], [null, signal], err);
        assert.equal(err, 'trapline: interrupted: old.sqlite is as it was\n');
        assert.deepEqual(names(), there);
        assert.equal((await trapline(['verify', 'old.sqlite'], folder)).out, digest);
      });

    it(`leaves nothing of ${command} where nothing was, and says so`, async () => {
      const there = names();
      const running = start([...WORDS[command], '-o', 'new.arrow'], folder);
      await running.until(() => names().includes('new.arrow'));
      running.child.kill('SIGTERM');
      const { err } = await running.ended();
      assert.deepEqual([running.child.signalCode, err], ['SIGTERM', 'trapline: interrupted: nothing is kept\n']);
      assert.deepEqual(names(), there);
    });
  }
});
