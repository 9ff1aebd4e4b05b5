/** How every importer ends: with what it has, even where reading had to stop, or without leaving half a trace behind. */
import { ImportError } from './errors.js';
import type { ImportResult } from './result.js';
import type { ByteSource } from './source.js';

export interface Work {
  /** Ends reading at an error, if there is something to keep; else throws it. */
  halt(error: unknown): void;
  finish(source: ByteSource): ImportResult;
  /** Forgets the trace that was begun. */
  abandon(): void;
}

/** An input that somebody ended anywhere ends amid its data: that is the cause then, and no copy will help. */
export const causeOf = (error: ImportError, source: ByteSource): ImportError =>
  error.code === 'TRUNCATED' ? (source.cut?.() ?? error) : error;

/** Reads and finishes; where that fails, nothing stays behind. */
export function carryOut(work: Work, source: ByteSource, read: () => void): ImportResult {
  try {
    try {
      read();
      const cut = source.cut?.() ?? null;
      if (cut !== null) throw cut;
    } catch (error) {
      const cause = error instanceof ImportError ? causeOf(error, source) : error;
      // where to be stopped is no error, neither is that the input ends there
      const isMeant = cause instanceof ImportError && cause.code === 'TRUNCATED' && source.isStopped?.() === true;
      if (!isMeant) work.halt(cause);
    }
    return work.finish(source);
  } catch (error) {
    work.abandon();
    throw error;
  }
}
