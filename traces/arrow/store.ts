/** The Arrow store: begins a trace with the schemas of its tables, which only this needs apache-arrow for. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { TABLE_NAMES } from '../schema.js';
import type { Store } from '../sink.js';
import { appendArrow } from './backend.js';
import { firstLine, manifestPath, streamPath } from './manifest.js';
import { schemaMessage } from './schema-message.js';

/** Every table has its stream, which begins with its schema. */
function begin(folder: string): void {
  mkdirSync(folder);
  for (const table of TABLE_NAMES) writeFileSync(streamPath(folder, table), schemaMessage(table), { flag: 'wx' });
  writeFileSync(manifestPath(folder), firstLine(), { flag: 'wx' });
}

export const arrowStore: Store = {
  name: 'arrow',
  begin,
  append: appendArrow,
  remove: (folder) => rmSync(folder, { recursive: true, force: true }),
};
