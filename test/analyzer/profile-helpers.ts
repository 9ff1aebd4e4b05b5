/** Chunks of events in memory, for analyses that read chunks. */
import { EVENT_KINDS, type EventKind } from '../../engine/observer.js';
import { TableAppender } from '../../traces/appender.js';
import { chunkOver } from '../../traces/column.js';
import type { Cell, Chunk } from '../../traces/store.js';

export type EventDraft = { readonly kind: EventKind; readonly [column: string]: Cell };

/** Feeds events, numbered in order, to `take` as a store would; those with a tick are of our machine, and have a step. */
export function feedEvents(events: readonly EventDraft[], take: (chunk: Chunk) => void): void {
  const table = new TableAppender('event', (appender, buffer, from, to) => {
    take(chunkOver(appender.layout, buffer, appender.before + from, from, to));
    return buffer;
  });
  events.forEach(({ kind, ...cells }, seq) => {
    const step = cells.tick === undefined ? {} : { step: seq };
    table.row({ seq, vcpu: 0, kind: EVENT_KINDS[kind], ...step, ...cells });
  });
  table.drain();
}
