/** Reads chunks from an Arrow trace folder: each record batch is found through the manifest. */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { TraceError, traceError } from '../errors.js';
import { indexChunks, type Source, type TaggedColumn } from '../reader.js';
import { type Column, TABLES, type TableName } from '../schema.js';
import type { StoredChunk } from '../sink.js';
import { type Upgrader, upgradesFor } from '../upgrade.js';
import { decodeBatch } from './batch.js';
import { chunkOf, manifestPath, streamPath, versionOf } from './manifest.js';

export class ArrowSource implements Source {
  readonly kind = 'arrow';
  readonly path: string;
  readonly chunks: ReadonlyMap<TableName, readonly StoredChunk[]>;
  readonly damage: TraceError | null;
  readonly upgrades: readonly Upgrader[];
  readonly #files = new Map<TableName, number>();

  /** @throws TraceError where the folder is no trace, or one of a version that cannot be read */
  constructor(folder: string) {
    this.path = folder;
    const { stored, damage, upgrades } = readManifest(folder);
    this.upgrades = upgrades;
    const index = indexChunks(folder, stored);
    this.chunks = index.chunks;
    this.damage = index.damage ?? damage;
  }

  read(chunk: StoredChunk, columns: readonly Column[]): TaggedColumn[] {
    const place = `${chunk.table}.arrow, offset ${chunk.offset}`;
    const file = this.#file(chunk.table);
    if (chunk.offset + chunk.length > fstatSync(file).size) throw new TraceError('TRACE_CUT', this.path, place);
    const message = new Uint8Array(chunk.length);
    readSync(file, message, 0, chunk.length, chunk.offset);
    try {
      return decodeBatch(message, TABLES[chunk.table].columns, columns, chunk.rows);
    } catch (error) {
      throw new TraceError('TRACE_DAMAGED', this.path, place, error instanceof Error ? error.message : null);
    }
  }

  close(): void {
    for (const file of this.#files.values()) closeSync(file);
    this.#files.clear();
  }

  #file(table: TableName): number {
    let file = this.#files.get(table);
    if (file === undefined) {
      file = openSync(streamPath(this.path, table), 'r');
      this.#files.set(table, file);
    }
    return file;
  }
}

/** Whole lines of the manifest; what follows the last newline is what a killed recorder was writing. */
function readManifest(folder: string): {
  readonly stored: StoredChunk[];
  readonly damage: TraceError | null;
  readonly upgrades: readonly Upgrader[];
} {
  let text: string;
  try {
    text = readFileSync(manifestPath(folder), 'utf8');
  } catch (error) {
    throw traceError(error, folder, 'read', 'manifest.jsonl');
  }
  const lines = text.split('\n').slice(0, -1);
  const version = versionOf(lines[0] ?? '');
  if (version === null) throw new TraceError('TRACE_DAMAGED', folder, 'manifest.jsonl, line 1');
  const upgrades = upgradesFor(version, folder);
  const stored: StoredChunk[] = [];
  for (let i = 1; i < lines.length; i++) {
    const chunk = chunkOf(lines[i] ?? '');
    if (chunk === null) {
      const damage = new TraceError('TRACE_DAMAGED', folder, `manifest.jsonl, line ${i + 1}`);
      return { stored, damage, upgrades };
    }
    stored.push(chunk);
  }
  return { stored, damage: null, upgrades };
}
