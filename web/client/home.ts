/** The busy part of a trace: where most of its events are, told apart from the long time in which little happens. */
import type { Domain, View } from '../../analyzer/timeline-answers.js';

/** Events that take less of the trace than this are worth a way to them. */
const SPARSE = 0.6;
/** Most events, and how much of the extent of all they may take to be looked at alone. */
const DENSE = { events: 0.85, extent: 0.12 } as const;

export interface Busy extends Domain {
  /** Events that lie in it, of those that pass the filter, and the part of the trace that it is. */
  readonly events: number;
  readonly share: number;
}

/**
 * From a view of the whole trace: the extent of what passes the filter, where that is small; or the narrowest stretch
 * that has most of it, where a guest idled most of the time; null where events are all over the trace.
 */
export function busyOf(view: View, domain: Domain): Busy | null {
  const { extent, passing } = view;
  if (extent === null) return null;
  const dense = denseOf(view);
  if (dense !== null && dense.to - dense.from < (extent.to - extent.from) * DENSE.extent)
    return told(dense, dense.events, domain);
  return extent.to - extent.from < (domain.to - domain.from) * SPARSE ? told(extent, passing, domain) : null;
}

function told({ from, to }: Domain, events: number, domain: Domain): Busy {
  const share = (to - from) / (domain.to - domain.from);
  return { ...fitted({ from, to }, domain), events, share };
}

/** A stretch with some room around it, within the trace. */
export function fitted({ from, to }: Domain, domain: Domain): Domain {
  const room = (to - from) * 0.01;
  return { from: Math.max(domain.from, from - room), to: Math.min(domain.to, to + room) };
}

function denseOf({ lanes, start, step, bins, passing, extent }: View): (Domain & { readonly events: number }) | null {
  const counts = new Uint32Array(bins);
  const add = (bin: number, count: number): void => {
    counts[bin] = (counts[bin] ?? 0) + count;
  };
  for (const { cells, events } of lanes) {
    for (let i = 0; i < cells.length; i += 3) add(cells[i] ?? 0, cells[i + 2] ?? 0);
    for (let i = 0; i < events.length; i += 4) add(Math.floor(((events[i + 2] ?? 0) - start) / step), 1);
  }
  let best: (Domain & { readonly events: number }) | null = null;
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
    if (best === null || to - from < best.to - best.from) best = { from, to, events: held };
  }
  return best;
}
