/** Imports what comes through a pipe: another thread reads (pipe-worker.ts), while this one listens to signals. */
import { Control } from './follow-protocol.js';
import { InputThread } from './input-thread.js';
import type { Output, Progress } from './output.js';
import type { Piped, PipeStart } from './pipe-protocol.js';

/**
 * At an interrupt, what the recorder still writes is read; at the second, at SIGTERM, after GRACE, or where there is no
 * recorder, the import ends there and keeps what it has. `size` is that of a file, 0 where nobody knows.
 */
export function importPipe(
  start: Omit<PipeStart, 'control'>,
  size: number,
  progress: Progress,
  out: Output,
): Promise<Piped> {
  const all: PipeStart = { ...start, control: Control.create() };
  const thread = new InputThread<number, Piped>(new URL('./pipe-worker.js', import.meta.url), all);
  const view = {
    look: (bytes: number) => progress.update(bytes, size),
    say: (text: string) => out.note(text),
    close: () => progress.end(),
  };
  return thread.ended(view, out);
}
