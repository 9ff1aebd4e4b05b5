/** What the thread that imports a pipe is asked, and what it says. Control is that of follow-protocol.ts. */
import type { Described } from './errors.js';
import type { FollowedResult, FollowStart, ThreadMessage } from './follow-protocol.js';

export type PipeStart = Pick<FollowStart, 'file' | 'replace' | 'tscHz' | 'control'> & { readonly output: string };

/** An import's result, with its error as it is told. */
export interface Piped {
  readonly result: FollowedResult;
  readonly stopped: Described | null;
}

/** Looks are numbers of bytes that were read. */
export type PipeMessage = ThreadMessage<number, Piped>;
