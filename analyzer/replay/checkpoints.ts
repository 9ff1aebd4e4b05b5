/** Checkpoints of a trace: where they are, and putting one into a machine. */
import type { Machine } from '../../engine/machine.js';
import { PAGE_BYTES } from '../../engine/memory/physical.js';
import type { TraceReader } from '../../traces/store.js';
import { AnalysisError } from '../errors.js';
import { TableCursor } from './cursor.js';

export interface Checkpoint {
  readonly id: number;
  readonly tick: number;
  /** seq of the next event. */
  readonly seq: number;
  /** Digest of the whole state: traces/state-digest.ts. */
  readonly digest: string;
}

export function checkpointsOf(reader: TraceReader): Checkpoint[] {
  const found: Checkpoint[] = [];
  const cursor = new TableCursor(reader, 'checkpoint');
  while (cursor.next()) {
    found.push({
      id: cursor.number('id'),
      tick: cursor.number('tick'),
      seq: cursor.number('seq'),
      digest: cursor.text('digest'),
    });
  }
  return found;
}

/** Hash of every page that is not all zero, as of a checkpoint. */
function pagesAsOf(reader: TraceReader, id: number): Map<number, string> {
  const pages = new Map<number, string>();
  const cursor = new TableCursor(reader, 'checkpoint_page');
  while (cursor.next() && cursor.number('checkpoint') <= id) {
    const hash = cursor.text('hash');
    if (hash === '') pages.delete(cursor.number('number'));
    else pages.set(cursor.number('number'), hash);
  }
  return pages;
}

/** Contents of the pages with the given hashes. */
function contentsOf(reader: TraceReader, hashes: ReadonlySet<string>): Map<string, Uint8Array> {
  const contents = new Map<string, Uint8Array>();
  const cursor = new TableCursor(reader, 'page');
  while (contents.size < hashes.size && cursor.next()) {
    const hash = cursor.text('hash');
    if (hashes.has(hash)) contents.set(hash, cursor.bytes('content').slice());
  }
  return contents;
}

function deviceRecords(json: string, where: string): Parameters<Machine['load']>[0]['devices'] {
  try {
    return JSON.parse(json) as Parameters<Machine['load']>[0]['devices'];
  } catch {
    throw new AnalysisError('BAD_CHECKPOINT', where, 'its device records are no JSON');
  }
}

/**
 * Puts the machine, which must be fresh, into the state of a checkpoint.
 * @throws AnalysisError BAD_CHECKPOINT where the trace lacks a part of it
 */
export function loadCheckpoint(reader: TraceReader, machine: Machine, id: number): Checkpoint {
  const where = `${reader.path}, checkpoint ${id}`;
  const cursor = new TableCursor(reader, 'checkpoint');
  while (cursor.next()) {
    if (cursor.number('id') !== id) continue;
    const pages = pagesAsOf(reader, id);
    const contents = contentsOf(reader, new Set(pages.values()));
    const { memory } = machine;
    memory.bytes.fill(0);
    for (const [number, hash] of pages) {
      const content = contents.get(hash);
      if (content?.length !== PAGE_BYTES) throw new AnalysisError('BAD_CHECKPOINT', where, `page ${number} is missing`);
      if (!memory.isRam(number * PAGE_BYTES, PAGE_BYTES)) {
        throw new AnalysisError('BAD_CHECKPOINT', where, `page ${number} is outside RAM`);
      }
      memory.copyIn(number * PAGE_BYTES, content);
    }
    machine.load({ cpu: cursor.bytes('state'), devices: deviceRecords(cursor.text('devices'), where) });
    return {
      id,
      tick: cursor.number('tick'),
      seq: cursor.number('seq'),
      digest: cursor.text('digest'),
    };
  }
  throw new AnalysisError('NO_CHECKPOINT', where, `the trace has ${reader.rows('checkpoint')}, from 0 on`);
}
