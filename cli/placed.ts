/** Where the trace came to lie that a command wrote. */
import { leftBeside } from '../traces/open.js';
import type { Output } from './output.js';

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
  const others = leftBeside(asked).filter((other) => other !== path);
  if (others.length === 0) return;
  out.note(`beside ${asked}, written in its place and never put there, or not yet: ${others.join(', ')}`);
}
