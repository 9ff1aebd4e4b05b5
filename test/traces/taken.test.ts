/**
 * What another process does to the name of a trace between any two system calls of the one that replaces it: whoever
 * was told that its trace is written has it, and all others are told where theirs is.
 */
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { createTrace, leftBeside } from '../../traces/open.js';
import type { TraceWriter } from '../../traces/store.js';
import { fillLong, reading, scratch } from './rows.js';

const STORES = ['sqlite', 'sqlite without links', 'arrow'] as const;
const endOf = (store: string): string => store.split(' ', 1)[0] ?? '';
/** Calls that look at a name or change what has it. */
const CALLS = ['statSync', 'openSync', 'chmodSync', 'mkdirSync', 'linkSync', 'renameSync', 'rmSync'] as const;
/** More than any replacement takes, so that a loop ends. */
const MOST = 200;

/** Has `intrude` run before call number `turn` of `work`; says whether there were so many. */
function between(turn: number, intrude: () => void, work: () => void): boolean {
  const system = CALLS.map((name) => [name, fs[name]] as const);
  const restore = (): void => {
    for (const [name, call] of system) Object.assign(fs, { [name]: call });
    syncBuiltinESMExports();
  };
  let calls = 0;
  for (const [name, call] of system) {
    const counted = (...words: unknown[]): unknown => {
      if (calls++ === turn) {
        restore();
        intrude();
      }
      return Reflect.apply(call, fs, words);
    };
    Object.assign(fs, { [name]: counted });
  }
  syncBuiltinESMExports();
  try {
    work();
  } finally {
    restore();
  }
  return calls > turn;
}

/** Has a call of the system fail where it is meant; returns what undoes that. */
function failing(
  name: 'linkSync' | 'rmSync' | 'writeSync',
  code: string,
  isMeant: (words: unknown[]) => boolean,
): () => void {
  const call = fs[name];
  const set = (other: unknown): void => {
    Object.assign(fs, { [name]: other });
    syncBuiltinESMExports();
  };
  set((...words: unknown[]): unknown => {
    if (isMeant(words)) throw Object.assign(new Error(`${code}: ${name}`), { code });
    return Reflect.apply(call, fs, words);
  });
  return () => set(call);
}

function begun(path: string, events: number, replace: boolean): TraceWriter {
  const writer = createTrace(path, { replace });
  fillLong(writer, events, 0);
  return writer;
}

/** Events of the trace that was there, of the one that replaces it, and of that of the other process. */
const [OLD, OWN, OTHER] = [10, 20, 30];

const eventsOf = (path: string): number =>
  reading(path, (reader) => {
    assert.ok(reader.complete);
    reader.digest();
    return reader.rows('event');
  });

function failureOf(work: () => void): Error | null {
  try {
    work();
    return null;
  } catch (error) {
    assert.ok(error instanceof Error);
    return error;
  }
}

/** Events of the traces beside one that an error names. */
const toldBy = (path: string, error: Error | null): number[] => {
  const { fresh, old } = leftBeside(path);
  return [...fresh, ...old].filter((left) => error?.message.includes(left)).map(eventsOf);
};

interface Outcome {
  readonly path: string;
  /** Null where the process was told that its trace is written. */
  readonly own: Error | null;
  readonly other: Error | null;
}

/** Replaces a trace again and again, another process coming in at each place in turn. */
function everywhere(
  t: TestContext,
  store: string,
  begin: (path: string) => () => void,
  check: (outcome: Outcome) => void,
): void {
  const folder = scratch(t);
  // link(2): a file system without links
  const restore = store.endsWith('without links') ? failing('linkSync', 'EPERM', () => true) : () => {};
  try {
    for (let turn = 0, came = true; came; turn++) {
      assert.ok(turn < MOST);
      const path = join(fs.mkdtempSync(join(folder, 'turn-')), `run.${endOf(store)}`);
      begun(path, OLD, false).finish();
      const writer = begun(path, OWN, true);
      const intrude = begin(path);
      const failures: { own: Error | null; other: Error | null } = { own: null, other: null };
      const other = (): void => {
        failures.other = failureOf(intrude);
      };
      const own = (): void => {
        failures.own = failureOf(() => writer.finish());
      };
      came = between(turn, other, own);
      if (!came) other();
      check({ path, ...failures });
    }
  } finally {
    restore();
  }
}

for (const store of STORES) {
  test(`${store}: of two that replace one trace one does, and the other is kept and named`, (t) => {
    const replacing = (path: string) => {
      const writer = begun(path, OTHER, true);
      return () => writer.finish();
    };
    everywhere(t, store, replacing, ({ path, own, other }) => {
      const [won, lost, error] = own === null ? [OWN, OTHER, other] : [OTHER, OWN, own];
      assert.equal(eventsOf(path), won);
      assert.match(error?.message ?? '', /taken by another/);
      assert.deepEqual(toldBy(path, error), [lost]);
      assert.ok(own === null || other === null);
    });
  });

  test(`${store}: a trace that takes the name while it is free keeps it, and what was there is named`, (t) => {
    let taken = 0;
    const taking = (path: string) => () => begun(path, OTHER, false).finish();
    everywhere(t, store, taking, ({ path, own, other }) => {
      if (other === null) taken++;
      assert.equal(eventsOf(path), other === null ? OTHER : OWN);
      assert.deepEqual(toldBy(path, own), other === null ? [OWN, OLD] : []);
      assert.equal(own === null, other !== null);
    });
    assert.ok(taken > 0);
  });

  test(`${store}: what a replacement cannot remove is no failure of it, and is named`, (t) => {
    const path = join(scratch(t), `run.${endOf(store)}`);
    begun(path, OLD, false).finish();
    const writer = begun(path, OWN, true);
    const restore = failing('rmSync', 'EIO', ([, options]) => Reflect.has(Object(options), 'recursive'));
    try {
      writer.finish();
    } finally {
      restore();
    }
    assert.equal(eventsOf(path), OWN);
    assert.deepEqual(leftBeside(path).old.map(eventsOf), [OLD]);
  });
}

test('arrow: where the disk is full just before the end, the old trace stays and the new one is named', (t) => {
  const path = join(scratch(t), 'run.arrow');
  begun(path, OLD, false).finish();
  const writer = begun(path, OWN, true);
  // "Arrow Columnar Format", IPC streaming format: a stream ends with FF FF FF FF 00 00 00 00
  const isEnd = ([, bytes]: unknown[]): boolean =>
    bytes instanceof Uint8Array && Buffer.from(bytes).toString('hex') === 'ffffffff00000000';
  const restore = failing('writeSync', 'ENOSPC', isEnd);
  const error = failureOf(() => writer.finish());
  restore();
  assert.match(error?.message ?? '', /no space left/);
  assert.equal(eventsOf(path), OLD);
  assert.deepEqual(toldBy(path, error), [OWN]);
});
