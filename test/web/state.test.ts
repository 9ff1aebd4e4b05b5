import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { fromHash, START, served, toHash } from '../../web/client/state.js';
import { Parameters } from '../../web/server/parameters.js';

const name = fc.string({ minLength: 1, maxLength: 20, unit: 'grapheme' }).filter((text) => text !== '*');
const whole = fc.integer({ min: 0, max: 0xffff_ffff });

const states = fc.record(
  {
    trace: fc.option(name),
    axis: fc.option(fc.constantFrom('tick' as const, 'time' as const, 'seq' as const)),
    range: fc.option(
      fc
        .tuple(fc.double({ noNaN: true, min: -1e15, max: 1e15 }), fc.double({ noNaN: true, min: 1e-3, max: 1e15 }))
        .filter(([from, span]) => from + span > from)
        .map(([from, span]) => ({ from: from === 0 ? 0 : from, to: from + span })),
    ),
    event: fc.option(whole),
    kinds: fc.option(fc.array(name, { maxLength: 4 })),
    reasons: fc.array(name, { maxLength: 4 }),
    vcpus: fc.array(whole, { maxLength: 4 }),
    levels: fc.array(fc.integer({ min: -1, max: 255 }), { maxLength: 4 }),
    text: fc.string({ maxLength: 30, unit: 'grapheme' }).map((text) => text.trim()),
    stack: fc.array(name, { maxLength: 4 }),
    panel: fc.constantFrom('profile' as const, 'flame' as const, 'compare' as const),
    scoped: fc.boolean(),
    absolute: fc.boolean(),
    other: fc.option(name),
    without: fc.array(name, { maxLength: 4 }),
  },
  { noNullPrototype: true },
);

/** What the server is not told. */
const ARRANGED = { panel: 'profile', scoped: false, absolute: false, other: null, without: [] } as const;

describe('the address of a view', () => {
  it('brings back what it was made of', () => {
    fc.assert(
      fc.property(states, (state) => {
        assert.deepEqual(fromHash(toHash(state)), state);
      }),
      { numRuns: 500, seed: 7 },
    );
  });

  it('is understood by the server as well', () => {
    fc.assert(
      fc.property(states, (state) => {
        const query = new URLSearchParams(
          toHash({ ...START, ...state, trace: null, axis: null, range: null, event: null, ...ARRANGED }).slice(1),
        );
        query.delete('kind');
        const filter = new Parameters(query, ['reason', 'vcpu', 'level', 'text', 'stack']).filter();
        assert.deepEqual(filter.reasons, state.reasons);
        assert.deepEqual(filter.vcpus, state.vcpus);
        assert.deepEqual(filter.levels, state.levels);
        assert.equal(filter.text, state.text);
        assert.deepEqual(filter.stack, state.stack);
      }),
      { numRuns: 200, seed: 8 },
    );
  });

  it('leaves out what cannot be', () => {
    for (const hash of [
      '',
      '#',
      '#axis=no&from=5&to=1&event=-1&vcpu=a,b&level=',
      '#from=NaN&to=Infinity&event=1.5',
      '#%%%=&&=',
    ]) {
      assert.deepEqual(fromHash(hash), START, hash);
    }
  });

  it('is about a trace that is served, or says which is not', () => {
    const asked = { ...START, trace: 'a', axis: 'seq', event: 3, other: 'b' } as const;
    assert.deepEqual(served(asked, ['a', 'b']), { state: asked, missing: null });
    assert.deepEqual(served(asked, ['a']), { state: { ...asked, other: null }, missing: 'b' });
    assert.deepEqual(served(asked, ['b']), { state: START, missing: 'a' });
    assert.deepEqual(served(START, []), { state: START, missing: null });
  });
});
