/** A segment as it goes into a table's stream: what the worker computes, and the caller where the worker is behind. */
import { chunkOver, layoutOf } from '../column.js';
import { chunkTags, type Tags } from '../digest.js';
import type { Segment } from '../sink.js';
import { encodeBatch } from './batch.js';

export interface Encoded {
  readonly table: Segment['table'];
  readonly first: number;
  readonly rows: number;
  /** The record batch message; empty where a segment has no new rows. */
  readonly message: Uint8Array;
  readonly tags: Tags;
  /** Where a chunk ends: its rows and tags, for the logical digest. */
  readonly ended: { readonly rows: number; readonly tags: Tags } | null;
}

const NOTHING = { message: new Uint8Array(0), tags: new Map<string, string>() };

export function encodeSegment({ table, buffer, before, from, to, last }: Segment): Encoded {
  const layout = layoutOf(table);
  const chunk = chunkOver(layout, buffer, before + from, from, to);
  const { message, tags } = chunk.rows === 0 ? NOTHING : encodeBatch(chunk);
  const whole = from === 0 ? tags : last ? chunkTags(chunkOver(layout, buffer, before, 0, to)) : null;
  return {
    table,
    first: chunk.first,
    rows: chunk.rows,
    message,
    tags,
    ended: last && whole !== null ? { rows: to, tags: whole } : null,
  };
}
