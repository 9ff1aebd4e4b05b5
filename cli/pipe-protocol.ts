/** What the thread that imports a pipe is asked, and what it says. Control is that of follow-protocol.ts. */
import type { Described } from './errors.js';
import type { FollowedResult, FollowStart } from './follow-protocol.js';

export type PipeStart = Pick<FollowStart, 'file' | 'replace' | 'tscHz' | 'control'> & { readonly output: string };

export type PipeMessage =
  | { readonly kind: 'progress'; readonly bytes: number }
  | { readonly kind: 'end'; readonly result: FollowedResult; readonly stopped: Described | null }
  | { readonly kind: 'failed'; readonly error: Described };
