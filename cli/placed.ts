/** Where the trace came to lie that a command wrote. */
import { existsSync } from 'node:fs';
import { leftBeside } from '../traces/open.js';
import type { Beside } from '../traces/place.js';
import type { Output } from './output.js';

/** What is told of what lies beside a trace. */
const SAYS: { readonly [what in keyof Beside]: string } = {
  fresh: 'written in its place and never put there, or not yet',
  old: 'moved away for a new one and never removed, or not yet',
  empty: 'folders without a trace, of commands that were ended or still go on',
};

/** What is kept where a command is interrupted that is about to write a trace there. */
export const keptOf = (path: string): string => (existsSync(path) ? `${path} is as it was` : 'nothing is kept');

/**
 * Says, of a trace that was asked for as `asked` and is at `path`, where it is if not there, and what earlier commands
 * left beside it.
 */
export function sayPlaced(out: Output, asked: string, path: string): void {
  if (path !== asked) {
    out.note(
      `${asked} is as it was, since the new trace lacks its end; that is ${path}: remove the old one and move it there to have it`,
    );
  }
  const beside = leftBeside(asked);
  for (const what of ['fresh', 'old', 'empty'] as const) {
    const others = beside[what].filter((other) => other !== path);
    if (others.length > 0) out.note(`beside ${asked}, ${SAYS[what]}: ${others.join(', ')}`);
  }
}
