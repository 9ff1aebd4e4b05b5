/** Reads chunks from an Arrow trace folder: each record batch is found through the manifest, or by its own description. */
import { closeSync } from 'node:fs';
import { TraceError, traceError } from '../errors.js';
import { type Damage, everywhere, indexChunks, type Source, type TaggedColumn } from '../reader.js';
import { type Column, FORMAT_VERSION, TABLE_NAMES, type TableName } from '../schema.js';
import type { StoredChunk } from '../sink.js';
import { storedColumns, type Upgrader, upgradesFor } from '../upgrade.js';
import { decodeBatch } from './batch.js';
import { openFile, readAll, readBytes } from './files.js';
import { flawsOf } from './framing.js';
import { Malformed } from './malformed.js';
import { type Manifest, manifestPath, parseManifest, streamPath } from './manifest.js';
import { Stream } from './stream.js';

export class ArrowSource implements Source {
  readonly kind = 'arrow';
  readonly path: string;
  readonly chunks: ReadonlyMap<TableName, readonly StoredChunk[]>;
  readonly damage: Damage;
  readonly upgrades: readonly Upgrader[];
  readonly #streams = new Map<TableName, Stream>();
  readonly #manifest: Manifest;

  /** @throws TraceError where the folder is no trace, or one of a version that cannot be read */
  constructor(folder: string) {
    this.path = folder;
    const manifest = readManifest(folder);
    this.#manifest = manifest;
    const lost = new Map<TableName, TraceError>();
    for (const table of TABLE_NAMES) {
      try {
        this.#streams.set(table, new Stream(openFile(streamPath(folder, table)), table));
      } catch (error) {
        lost.set(table, inRoom(error, folder, `${table}.arrow`));
      }
    }
    try {
      this.upgrades = upgradesFor(this.#version(manifest), folder);
      const listed = new Map<TableName, StoredChunk[]>(TABLE_NAMES.map((name) => [name, []]));
      for (const chunk of manifest.stored) listed.get(chunk.table)?.push(chunk);
      const found = [...listed].flatMap(([table, chunks]) => this.#walk(table, chunks, manifest, lost));
      const index = indexChunks(folder, found);
      this.chunks = index.chunks;
      this.damage = this.#damage(manifest, new Map([...index.damage, ...lost]));
    } catch (error) {
      this.close();
      throw error;
    }
  }

  read(chunk: StoredChunk, columns: readonly Column[]): TaggedColumn[] {
    const place = `${chunk.table}.arrow, offset ${chunk.offset}`;
    const stream = this.#streams.get(chunk.table);
    if (stream === undefined) throw new TraceError('TRACE_CUT', this.path, place);
    try {
      const message = readBytes(stream.file, chunk.offset, chunk.length);
      return decodeBatch(message, storedColumns(this.upgrades, chunk.table), columns, chunk.rows);
    } catch (error) {
      const why = error instanceof Malformed ? error.message : 'the record batch contradicts itself';
      throw new TraceError('TRACE_DAMAGED', this.path, place, why);
    }
  }

  flaws(complete: boolean): string[] {
    const version = FORMAT_VERSION - this.upgrades.length;
    const streams = [...this.#streams].flatMap(([table, stream]) => {
      const columns = storedColumns(this.upgrades, table);
      const chunks = this.chunks.get(table) ?? [];
      return flawsOf(stream, { columns, chunks, version, complete }).map((flaw) => `${table}.arrow: ${flaw}`);
    });
    return [...manifestFlaws(this.#manifest, [...this.chunks.values()].flat().length, complete), ...streams];
  }

  close(): void {
    for (const { file } of this.#streams.values()) closeSync(file.descriptor);
    this.#streams.clear();
  }

  /** That of the manifest, or of the first stream that says it. */
  #version({ version }: Manifest): number {
    if (version !== null) return version;
    for (const stream of this.#streams.values()) {
      const said = stream.version();
      if (said !== null) return said;
    }
    throw new TraceError('TRACE_DAMAGED', this.path, 'manifest.jsonl, line 1');
  }

  /** Chunks of a table up to the end of its stream: those that are listed, and where one is not, as it describes itself. */
  #walk(
    table: TableName,
    listed: readonly StoredChunk[],
    { damaged }: Manifest,
    lost: Map<TableName, TraceError>,
  ): StoredChunk[] {
    const stream = this.#streams.get(table);
    if (stream === undefined) return [];
    const chunks: StoredChunk[] = [];
    let at = stream.start;
    for (let next = 0; ; ) {
      const known = listed[next];
      const chunk = known?.offset === at ? known : (stream.describedAt(at) ?? known);
      if (chunk === undefined) return chunks;
      if (chunk === known) next++;
      at = chunk.offset + chunk.length;
      if (at > stream.file.size) {
        // A batch that a whole manifest does not list is one that a recorder was writing, or is writing still.
        if (chunk === known || damaged !== null)
          lost.set(table, new TraceError('TRACE_CUT', this.path, `${table}.arrow, offset ${chunk.offset}`));
        return chunks;
      }
      chunks.push(chunk);
    }
  }

  /** A line that was lost is no damage where every chunk describes itself. */
  #damage({ damaged }: Manifest, damage: Map<TableName, TraceError>): Damage {
    if (damaged === null || this.upgrades.length === 0) return damage;
    return everywhere(new TraceError('TRACE_DAMAGED', this.path, `manifest.jsonl, line ${damaged}`));
  }
}

/** What of a manifest is not there, though all chunks are; a recorder that was killed may not have written the last line. */
function manifestFlaws({ damaged, stored, ended }: Manifest, chunks: number, complete: boolean): string[] {
  const found = 'its chunks were found again in the streams';
  if (damaged !== null) return [`manifest.jsonl: line ${damaged} is damaged or missing; ${found}`];
  if (!complete) return [];
  if (stored.length < chunks) return [`manifest.jsonl: lines are missing at its end or between; ${found}`];
  return ended ? [] : ['manifest.jsonl: its last line is not whole'];
}

function inRoom(error: unknown, folder: string, place: string): TraceError {
  const failure = traceError(error, folder, 'read', place);
  if (failure instanceof TraceError) return failure;
  throw failure;
}

/** A manifest that is missing lists nothing. */
function readManifest(folder: string): Manifest {
  try {
    return parseManifest(readAll(manifestPath(folder)));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return parseManifest('');
    throw traceError(error, folder, 'read', 'manifest.jsonl');
  }
}
