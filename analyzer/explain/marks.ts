/** What stands in front of every line of a dump in a comment, in a mail or in a change. */
import type { Line } from './lines.js';

/** Signs of comments in any language, of quotes, and of lines that a change adds or takes away. Headings have three stars. */
const MARK = /^(?:\s*(?:[>|#%;!+]+|\/\/+|::|--?|\*(?=\s|$)|(?:REM|dnl)(?=\s|$)))+/;

/**
 * By which QEMU begins, and what it prints behind (target/i386/kvm/kvm.c, accel/kvm/kvm-all.c): advice, of which a string
 * may spell the apostrophe in any way, details, registers.
 */
const ERROR = /KVM: entry failed|KVM internal error/i;
const BEHIND = /\b(?:if you.{1,6}re run+ing a guest|extra data\[|emulation failure|[er]ax ?= ?[\da-f]{8})/i;
/** It prints to the stream that the console of a guest may have as well, whose last line has no end yet. */
const GLUED = /(?<=[\w.])(?=KVM: entry failed|KVM internal error)/i;

/** The mark in front of a line; empty where it has none. */
export const markOf = (line: string): string => MARK.exec(line)?.[0].trim() ?? '';

/** A line without a mark; null where it has another or none. One that has more keeps that, as a heading of a quote. */
export function unmarked(line: string, mark: string): string | null {
  if (mark === '' || !markOf(line).startsWith(mark)) return null;
  return line.slice(line.indexOf(mark) + mark.length);
}

/** A line with a blank between an error of QEMU and what it follows without one. */
export const unglued = (line: string): string => line.replace(GLUED, ' ');

/**
 * An error of QEMU was printed, and is not only spoken of, whatever stands in front of it, where what QEMU prints next
 * follows: before another error, and behind the same mark.
 * @param window the line, and those after it
 */
export function isOfOutput(line: string, window: readonly Line[]): boolean {
  const at = line.search(ERROR);
  if (at < 0) return false;
  if (BEHIND.test(line.slice(at))) return true;
  const mark = markOf(line);
  for (const { text } of window.slice(1)) {
    if (ERROR.test(text)) return false;
    if (BEHIND.test(mark === '' ? text : (unmarked(text, mark) ?? ''))) return true;
  }
  return false;
}
