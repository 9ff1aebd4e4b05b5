/** Every guest program does on our machine what its catalogue entry says, by arithmetic, that it must. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { EVENT_KINDS } from '../../../engine/observer.js';
import { GUESTS } from '../../../traces/guests/catalogue.js';
import { type Values, valuesOf } from '../../../traces/guests/guest.js';
import { ENTRY_FAILURES } from '../../../traces/guests/hypervisor.js';
import type { TraceReader } from '../../../traces/store.js';
import { reading, scratch } from '../../traces/rows.js';
import { guestNamed, record } from './scene.js';

/** Events of a kind: their reasons. */
function reasonsOf(reader: TraceReader, kind: number): bigint[] {
  const reasons: bigint[] = [];
  for (const chunk of reader.chunks('event')) {
    for (let i = 0; i < chunk.rows; i++) {
      const row = chunk.row(i);
      if (BigInt(Number(row.kind)) === BigInt(kind)) reasons.push(BigInt(String(row.reason ?? 0)));
    }
  }
  return reasons;
}

/** VM exits by the name of their reason; failed entries are none. */
function exitsByReason(reader: TraceReader): { [name: string]: number } {
  const counts: { [name: string]: number } = {};
  for (const reason of reasonsOf(reader, EVENT_KINDS.exit)) {
    if (reason >> 31n) continue;
    const name = reader.name('reason.vmx', reason & 0xffffn) ?? String(reason);
    counts[name] = (counts[name] ?? 0) + 1;
  }
  return counts;
}

const nonzero = (counts: Readonly<Record<string, number>>): { [name: string]: number } =>
  Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));

const everyHypervisorParameter: Values = Object.fromEntries(
  Object.keys(guestNamed('hypervisor').parameters)
    .filter((name) => name !== 'fail')
    .map((name, i) => [name, (i % 3) + 1]),
);
const nothing: Values = Object.fromEntries(Object.keys(everyHypervisorParameter).map((name) => [name, 0]));

const SETTINGS: readonly (readonly [says: string, settings: Values])[] = [
  ['its defaults', {}],
  ['one to three of everything', everyHypervisorParameter],
  ['nothing but what steers the run', nothing],
  ['every entry that must fail', { ...nothing, fail: 'all' }],
];

for (const [says, settings] of SETTINGS) {
  test(`hypervisor causes the exits that arithmetic expects: ${says}`, async (t) => {
    const guest = guestNamed('hypervisor');
    const path = join(scratch(t), 'run.arrow');
    const values = valuesOf(guest, settings);
    const { outcome, text } = await record(path, { guest: 'hypervisor', settings, budget: 100_000_000 });
    assert.deepEqual([outcome.kind, outcome.code], ['exit', 0]);
    assert.equal(text, guest.console(values));
    reading(path, (reader) => {
      assert.deepEqual(exitsByReason(reader), nonzero(guest.exits?.(values) ?? {}));
      assert.equal(reader.rows('event'), outcome.events);
    });
  });
}

test('hypervisor with every failing entry leaves each with the reason and error that the manual lays down', async (t) => {
  const path = join(scratch(t), 'run.arrow');
  await record(path, { guest: 'hypervisor', settings: { ...nothing, fail: 'all' } });
  const failures = [...ENTRY_FAILURES.values()];
  reading(path, (reader) => {
    const failed = [...reasonsOf(reader, EVENT_KINDS.entry_failed), ...reasonsOf(reader, EVENT_KINDS.exit)];
    const late = failed.filter((reason) => reason >> 31n).map(Number);
    const expected = failures.flatMap((failure) => ('reason' in failure ? [failure.reason] : []));
    assert.deepEqual(
      [...new Set(late)].sort((a, b) => a - b),
      [...new Set(expected)].sort((a, b) => a - b),
    );
    const errors = failures.filter((failure) => 'error' in failure).length;
    assert.equal(reasonsOf(reader, EVENT_KINDS.vmfail).length, errors);
  });
});

for (const guest of GUESTS.values()) {
  test(`${guest.name} ends and prints as its catalogue entry says`, async (t) => {
    const path = join(scratch(t), 'run.sqlite');
    const { outcome, text } = await record(path, {
      guest: guest.name,
      budget: guest.ending.kind === 'budget' ? 20_000 : 10_000_000,
    });
    const { ending } = guest;
    assert.equal(outcome.kind, ending.kind);
    assert.equal(outcome.code, ending.kind === 'exit' ? ending.code : null);
    const expected = guest.console(valuesOf(guest));
    if (guest.monitor !== 'ymir') assert.equal(text, expected);
    else {
      // The monitor prints lines of its own between the guest's.
      const own = new Set(expected.split('\n').filter((line) => line !== ''));
      assert.deepEqual(
        text.split('\n').filter((line) => own.has(line)),
        [...own],
      );
    }
    reading(path, (reader) => assert.equal(JSON.parse(reader.run('outcome') ?? '').kind, ending.kind));
  });
}

for (const name of ['spin', 'refault']) {
  test(`${name} ends where its budget does, to the tick or the event after it`, async (t) => {
    const { outcome } = await record(join(scratch(t), 'run.sqlite'), { guest: name, budget: 20_000 });
    assert.equal(outcome.kind, 'budget');
    assert.ok(outcome.ticks >= 20_000 && outcome.ticks <= 20_002, String(outcome.ticks));
  });
}
