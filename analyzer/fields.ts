/** What the source calls what the columns of an event hold, of events that share their kind. */
import { EVENT_FLAGS, EVENT_KINDS } from '../engine/observer.js';
import type { Row } from '../traces/store.js';
import type { NameOf } from './profile/lane-names.js';

/** Names of fields by column, or by the bit of `flags` that they are. */
export type FieldNames = ReadonlyMap<string, string>;

const NONE: FieldNames = new Map();

/** What the dictionary says of a tracepoint; nothing where it says none of its fields. */
export function fieldNames(says: string | null): FieldNames {
  if (says === null) return NONE;
  try {
    const fields: unknown = JSON.parse(says);
    if (typeof fields !== 'object' || fields === null) return NONE;
    return new Map(Object.entries(fields).filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
  } catch {
    return NONE; // a sentence
  }
}

/** The names of an event's fields; `saysOf` gives what the trace's dictionary says of a code. */
export function fieldNamesOf({ kind, tracepoint }: Row, saysOf: NameOf): FieldNames {
  if (tracepoint === null || tracepoint === undefined || Number(kind) === EVENT_KINDS.other) return NONE;
  return fieldNames(saysOf('event', BigInt(Number(tracepoint))));
}

/** The bits of `flags` that are fields of their own, and what is left. */
export function flagFields(fields: FieldNames, flags: bigint): { said: [string, string][]; rest: bigint } {
  const said: [string, string][] = [];
  let rest = flags;
  for (const [flag, mask] of Object.entries(EVENT_FLAGS)) {
    const name = fields.get(flag);
    if (name === undefined) continue;
    said.push([name, (flags & BigInt(mask)) === 0n ? '0' : '1']);
    rest &= ~BigInt(mask);
  }
  return { said, rest };
}
