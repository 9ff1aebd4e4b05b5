import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { View } from '../../analyzer/timeline-answers.js';
import { busyOf } from '../../web/client/home.js';

const BINS = 100;
/** A view of [0, 1000) in bins of 10 with these events. */
function viewOf(places: readonly number[]): View {
  const counts = new Map<number, number>();
  for (const x of places) counts.set(Math.floor(x / 10), (counts.get(Math.floor(x / 10)) ?? 0) + 1);
  const cells = [...counts].sort((a, b) => a[0] - b[0]).flatMap(([bin, count]) => [bin, 0, count]);
  const extent = places.length === 0 ? null : { from: Math.min(...places), to: Math.max(...places) + 1 };
  const lanes = [{ lane: 0, cells, failures: [], events: [] }];
  const grid = { axis: 'tick', detail: 'bins', start: 0, step: 10, bins: BINS } as const;
  return { ...grid, lanes, lanesLeftOut: 0, gaps: [], totals: [0, places.length], extent, passing: places.length };
}
const DOMAIN = { from: 0, to: 1000 };

describe('the busy part of a trace', () => {
  it('is none where events are all over the trace, or nowhere', () => {
    assert.equal(busyOf(viewOf(Array.from({ length: 500 }, (_, i) => i * 2)), DOMAIN), null);
    assert.equal(busyOf(viewOf([]), DOMAIN), null);
  });

  it('is where the events are, where that is a small part', () => {
    const home = busyOf(viewOf([700, 720, 740, 760, 780, 800]), DOMAIN);
    assert.ok(home !== null && home.events === 6);
    assert.ok(home.from > 690 && home.from <= 700 && home.to >= 801 && home.to < 810);
  });

  it('is where most of them are, where a guest idled between the others', () => {
    const busy = Array.from({ length: 95 }, (_, i) => 200 + (i % 30));
    const home = busyOf(viewOf([...busy, 400, 600, 800, 990]), DOMAIN);
    assert.ok(home !== null && home.events === 95);
    assert.ok(home.from >= 195 && home.from <= 200 && home.to >= 230 && home.to <= 235, JSON.stringify(home));
  });

  it('lies in the trace and holds most of the events', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 999 }), { minLength: 1, maxLength: 300 }), (places) => {
        const { from, to, events, share } = busyOf(viewOf(places), DOMAIN) ?? {
          ...DOMAIN,
          events: places.length,
          share: 1,
        };
        assert.ok(from >= 0 && to <= 1000 && to > from);
        assert.ok(places.filter((x) => x >= from && x < to).length >= places.length * 0.85);
        assert.ok(events >= places.length * 0.85 && events <= places.length && share > 0 && share <= 1);
      }),
      { numRuns: 300, seed: 3 },
    );
  });
});
