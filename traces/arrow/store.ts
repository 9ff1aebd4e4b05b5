/** The Arrow store: begins a trace with the schemas of its tables, which only this needs apache-arrow for. */
import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { TABLE_NAMES } from '../schema.js';
import type { Store } from '../sink.js';
import { FileLock, isLocked } from '../sqlite/lock.js';
import { appendArrow } from './backend.js';
import { filesOf, firstLine, lockPath, manifestPath, streamPath } from './manifest.js';
import { schemaMessage } from './schema-message.js';

/** Every table has its stream, which begins with its schema. */
function begin(folder: string): void {
  mkdirSync(folder);
  for (const table of TABLE_NAMES) writeFileSync(streamPath(folder, table), schemaMessage(table), { flag: 'wx' });
  writeFileSync(manifestPath(folder), firstLine(), { flag: 'wx' });
}

/** Files that other rooms keep in the folder: the index of profile (analyzer/profile/beside.ts), whole or not. */
const KEPT = /^exits\.profile(\.\d+\.new)?$/;

function refusal(folder: string): string | null {
  const own = new Set([...filesOf(folder), lockPath(folder)].map((file) => basename(file)));
  const foreign = readdirSync(folder, { withFileTypes: true })
    .filter((entry) => !entry.isFile() || !(own.has(entry.name) || KEPT.test(entry.name)))
    .map(({ name }) => name)
    .sort();
  return foreign[0] === undefined ? null : `${foreign[0]} in it is no part of a trace`;
}

export const arrowStore: Store = {
  name: 'arrow',
  begin,
  append: appendArrow,
  // the system puts a folder in the place of nothing, or of an empty folder
  place: renameSync,
  files: filesOf,
  beside: [],
  hold: (folder) => new FileLock(lockPath(folder)),
  isWritten: (folder) => isLocked(lockPath(folder)),
  refusal,
};
