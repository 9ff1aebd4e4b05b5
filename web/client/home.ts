/** Where a trace is looked at first: where its events are. */
import type { Domain, View } from '../../analyzer/timeline-answers.js';

/** Events that take less of the trace than this are brought into view. */
const SPARSE = 0.6;
/** Most events, and how much of the extent of all they may take to be looked at alone. */
const DENSE = { events: 0.85, extent: 0.12 } as const;

/**
 * The viewport to begin with, from a view of the whole trace: the whole; or the extent of what passes the filter, where
 * that is small; or the narrowest stretch that has most of it, where a guest idled most of the time.
 */
export function homeOf(view: View, domain: Domain): Domain {
  const { extent } = view;
  if (extent === null) return domain;
  const dense = denseOf(view);
  if (dense !== null && dense.to - dense.from < (extent.to - extent.from) * DENSE.extent) return fitted(dense, domain);
  return extent.to - extent.from < (domain.to - domain.from) * SPARSE ? fitted(extent, domain) : domain;
}

/** A stretch with some room around it, within the trace. */
export function fitted({ from, to }: Domain, domain: Domain): Domain {
  const room = (to - from) * 0.01;
  return { from: Math.max(domain.from, from - room), to: Math.min(domain.to, to + room) };
}

function denseOf({ lanes, start, step, bins, passing, extent }: View): Domain | null {
  const counts = new Uint32Array(bins);
  const add = (bin: number, count: number): void => {
    counts[bin] = (counts[bin] ?? 0) + count;
  };
  for (const { cells, events } of lanes) {
    for (let i = 0; i < cells.length; i += 3) add(cells[i] ?? 0, cells[i + 2] ?? 0);
    for (let i = 0; i < events.length; i += 4) add(Math.floor(((events[i + 2] ?? 0) - start) / step), 1);
  }
  let best: Domain | null = null;
  let first = 0;
  let held = 0;
  for (let last = 0; last < bins; last++) {
    held += counts[last] ?? 0;
    while (held - (counts[first] ?? 0) >= passing * DENSE.events) {
      held -= counts[first] ?? 0;
      first++;
    }
    if (held < passing * DENSE.events) continue;
    const from = Math.max(extent?.from ?? 0, start + first * step);
    const to = Math.min(extent?.to ?? 0, start + (last + 1) * step);
    if (best === null || to - from < best.to - best.from) best = { from, to };
  }
  return best;
}
