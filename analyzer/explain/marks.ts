/** What stands in front of every line of a dump in a comment, in a mail or in a change. */
import type { Line } from './lines.js';

/** Signs of comments in any language, of quotes, and of lines that a change adds or takes away. Headings have three stars. */
const MARK = /^(?:\s*(?:[>|#%;!+]+|\/\/+|::|--?|\*(?=\s|$)|(?:REM|dnl)(?=\s|$)))+/;

/** By which QEMU begins, and what it prints behind (target/i386/kvm/kvm.c, accel/kvm/kvm-all.c): advice, details, registers. */
const ERROR = /KVM: entry failed|KVM internal error/i;
const BEHIND = /^\s*(?:if you're run+ing a guest|extra data\[|emulation failure|[er]ax ?=)/i;

/** The mark in front of a line; empty where it has none. */
export const markOf = (line: string): string => MARK.exec(line)?.[0].trim() ?? '';

/** A line without a mark; null where it has another or none. One that has more keeps that, as a heading of a quote. */
export function unmarked(line: string, mark: string): string | null {
  if (mark === '' || !markOf(line).startsWith(mark)) return null;
  return line.slice(line.indexOf(mark) + mark.length);
}

/** An error of QEMU behind a mark was printed, and is not only spoken of, where what follows it is behind the same. */
export function isOfOutput(line: string, window: readonly Line[]): boolean {
  if (!ERROR.test(line)) return false;
  const mark = markOf(line);
  return window.some(({ text }) => BEHIND.test(unmarked(text, mark) ?? ''));
}
