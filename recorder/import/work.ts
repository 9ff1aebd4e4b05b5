/** How every importer ends: with what it has, even where reading had to stop, or without leaving half a trace behind. */
import type { ImportResult } from './result.js';
import type { ByteSource } from './source.js';

export interface Work {
  /** Ends reading at an error, if there is something to keep; else throws it. */
  halt(error: unknown): void;
  finish(source: ByteSource): ImportResult;
  /** Forgets the trace that was begun. */
  abandon(): void;
}

/** Reads and finishes; where that fails, nothing stays behind. */
export function carryOut(work: Work, source: ByteSource, read: () => void): ImportResult {
  try {
    try {
      read();
      const cut = source.cut?.() ?? null;
      if (cut !== null) throw cut;
    } catch (error) {
      work.halt(error);
    }
    return work.finish(source);
  } catch (error) {
    work.abandon();
    throw error;
  }
}
