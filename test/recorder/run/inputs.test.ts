/** Bytes that arrive at moments which the host decides: whatever they are, a replay is identical. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { replay } from '../../../analyzer/replay/replay.js';
import { InputFileError, parseInputs } from '../../../recorder/run/inputs.js';
import type { ConsoleSource } from '../../../recorder/run/session.js';
import { reading, rowsOf, scratch } from '../../traces/rows.js';
import { bytesOf, record, STORES } from './scene.js';

/** Ticks after which the guest has set up COM1, which empties it. */
const INITIALISED = 500;

/** A console whose bytes come after so many looks at it each; it ends after the last. */
class Typist implements ConsoleSource {
  readonly #chunks: { looks: number; text: string }[];

  /** `first`: looks before the first of them counts. */
  constructor(chunks: readonly { readonly looks: number; readonly text: string }[], first: number) {
    this.#chunks = chunks.map(({ looks, text }, i) => ({ looks: looks + (i === 0 ? first : 0), text }));
  }

  get ended(): boolean {
    return this.#chunks.length === 0;
  }

  take(): Uint8Array | null {
    const [first] = this.#chunks;
    if (!first || first.looks-- > 0) return null;
    this.#chunks.shift();
    return bytesOf(first.text);
  }

  wait(): Promise<void> {
    return Promise.resolve();
  }
}

const character = fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code));
const text = fc
  .array(character, { minLength: 1, maxLength: 25 })
  .map((characters) => characters.join('').replaceAll(/[qQ]/g, '.'));
const session = fc.record({
  irq: fc.constantFrom(0, 1),
  slice: fc.integer({ min: 1, max: 4000 }),
  checkpointEvery: fc.integer({ min: 1000, max: 20_000 }),
  chunks: fc.array(fc.record({ looks: fc.integer({ min: 0, max: 6 }), text }), { minLength: 1, maxLength: 8 }),
});

test('50 runs of echo with bytes at random moments replay identical, from the start and from a checkpoint', async (t) => {
  const folder = scratch(t);
  let run = 0;
  let seen = 0;
  await fc.assert(
    fc.asyncProperty(session, fc.nat(), async ({ irq, slice, checkpointEvery, chunks }, anywhere) => {
      const path = join(folder, `${run}.${STORES[run++ % 2]}`);
      const said = [...chunks, { looks: 1, text: 'q' }];
      const { outcome, text: answer } = await record(path, {
        guest: 'echo',
        settings: { irq },
        configuration: { checkpointEvery },
        inputs: [],
        console: new Typist(said, Math.ceil(INITIALISED / slice)),
        slice,
        budget: 5_000_000,
      });
      assert.equal(outcome.kind, 'exit');
      const all = said.map((chunk) => chunk.text).join('');
      assert.equal(answer, `${all.toUpperCase()}\n`);
      reading(path, (reader) => {
        assert.equal(reader.rows('input'), said.length);
        for (const from of [null, anywhere % reader.rows('checkpoint')]) {
          const { divergence, ticks } = replay(reader, { from, memory: anywhere % 2 === 0 });
          assert.equal(divergence, null);
          assert.equal(ticks, outcome.ticks);
        }
        seen++;
      });
    }),
    { numRuns: 50, seed: 20_240_101 },
  );
  assert.ok(seen >= 50);
});

test('inputs are recorded with the tick at which they arrived, to the boundary after it', async (t) => {
  const path = join(scratch(t), 'run.sqlite');
  const inputs = [1, 20_000, 20_000, 60_001].map((tick, i) => ({ tick, port: 'com1', bytes: bytesOf('abq'[i] ?? '') }));
  await record(path, { guest: 'echo', inputs: inputs.slice(0, 3) });
  reading(path, (reader) => {
    const ticks = rowsOf(reader, 'input').map(([tick]) => Number(tick?.split('=')[1]));
    assert.equal(ticks.length, 3);
    for (const [i, tick] of ticks.entries()) {
      const asked = inputs[i]?.tick ?? 0;
      assert.ok(tick >= asked && tick <= asked + 2, `${tick} for ${asked}`);
    }
  });
});

test('a file of inputs is read line by line, bytes and all', () => {
  const read = parseInputs(
    '# a remark\n\n20 com1 "a\\u00ffb\\n"\r\n  20 tclo "ping"  \n9007199254740991 com1 ""\n',
    'file',
  );
  assert.deepEqual(
    read.map(({ tick, port, bytes }) => [tick, port, Buffer.from(bytes).toString('hex')]),
    [
      [20, 'com1', '61ff620a'],
      [20, 'tclo', Buffer.from('ping').toString('hex')],
      [9007199254740991, 'com1', ''],
    ],
  );
});

const BAD_LINES: readonly (readonly [line: string, why: RegExp])[] = [
  ['hello', /not of the form/],
  ['-1 com1 "a"', /not of the form/],
  ['10 com1 a', /not of the form/],
  ['10 com1 "a" b', /not of the form/],
  ['10 com1 "a\\x"', /no JSON string/],
  ['10 com1 "\\u0100"', /above \\u00ff/],
  ['9007199254740992 com1 "a"', /too large/],
  ['99999999999999999999999999 com1 "a"', /too large/],
  ['5 com1 "a"', /comes after 7/],
];

for (const [line, why] of BAD_LINES) {
  test(`a bad line of inputs is named with file and line: ${line}`, () => {
    assert.throws(
      () => parseInputs(`7 com1 "ok"\n${line}\n`, 'some.txt'),
      (error) => error instanceof InputFileError && error.where === 'some.txt:2' && why.test(error.why ?? ''),
    );
  });
}
