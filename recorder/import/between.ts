/** Lines that stand between events: headers, what was lost, frames of call chains. */
import { isBlank, isDigit, isHex } from './cursor.js';
import { isGraph, isStackFrame } from './tracers.js';

const EQUALS = 0x3d;
const GREATER = 0x3e;
const CLOSE = 0x29; // )

/** Lines that trace-cmd and ftrace print around the events, and the fences of Markdown (CommonMark 4.5) around a text. */
const HEADERS = /^[>\s]*(cpus=\d+|version = .*|CPU \d+ is empty|#.*|`{3,}[^`]*|~{3,}.*)?$/;
const DROPPED = /^[\s>]*CPU:\s*(\d{1,9})\s*\[(?:LOST )?(\d+ )?EVENTS(?: DROPPED)?\]/;
const PERF_LOST = /PERF_RECORD_LOST(?:_SAMPLES)?\s+lost\s+(\d+)/;
/** What perf prints of tasks, mappings and switches beside the events (`perf script --show-task-events`). */
const PERF_RECORD = /(?:^|\s)PERF_RECORD_[A-Z\d_]+\b/;
const IN_BUFFER = /^[>\s]*#\s*entries-in-buffer\/entries-written:\s*(\d+)\/(\d+)/;
/** Digits of an address of a call chain, or else the columns that perf gives it: `%16llx`. */
const SHORTEST_ADDRESS = 3;
const ADDRESS_COLUMNS = 16;

const utf8 = new TextDecoder('utf-8', { fatal: false });
/** Bytes in which a line says what it is. */
const TELLING = 400;

export const beginningOf = (bytes: Uint8Array, start: number, end: number): string =>
  utf8.decode(bytes.subarray(start, Math.min(end, start + TELLING)));

/** A line that trace-cmd, ftrace or perf prints around the events. */
export const isHeader = (text: string): boolean => HEADERS.test(text) || PERF_RECORD.test(text);

/** A line that is no event and no part of one. */
export function isAlone(bytes: Uint8Array, start: number, end: number): boolean {
  if (isFrame(bytes, start, end)) return true;
  const text = beginningOf(bytes, start, end);
  return isHeader(text) || readLost(text) !== null || isGraph(text);
}

/** What a line says of events that are missing: how many (0: unknown) and on which host CPU (-1: unknown). */
export function readLost(text: string): { readonly count: number; readonly cpu: number } | null {
  const inBuffer = IN_BUFFER.exec(text);
  if (inBuffer !== null) {
    const count = Number(inBuffer[2]) - Number(inBuffer[1]);
    return count > 0 ? { count, cpu: -1 } : null;
  }
  const dropped = DROPPED.exec(text);
  if (dropped !== null) return { count: Number(dropped[2] ?? 0), cpu: Number(dropped[1]) };
  const perf = PERF_LOST.exec(text);
  return perf === null ? null : { count: Number(perf[1]), cpu: -1 };
}

/**
 * One frame of a call chain, as perf prints it, `  ffffffff8db81dad __x64_sys_ioctl+0x8d ([kernel.kallsyms])`,
 * trace-cmd, ` => kvm_vcpu_ioctl (ffffffffc05ed1ce)`, or ftrace, ` => kvm_vcpu_ioctl`.
 */
export function isFrame(bytes: Uint8Array, start: number, end: number): boolean {
  let i = start;
  while (i < end && isBlank(bytes[i] as number)) i += 1;
  if (isArrow(bytes, i, end)) return isStackFrame(beginningOf(bytes, start, end));
  if (i === start) return false;
  const digits = i;
  while (i < end && isHex(bytes[i] as number)) i += 1;
  // perf right-aligns addresses in 16 columns; bytes of an instruction are shorter words
  return (
    (i - digits >= SHORTEST_ADDRESS || i - start >= ADDRESS_COLUMNS) &&
    i < end &&
    isBlank(bytes[i] as number) &&
    bytes[end - 1] === CLOSE &&
    !isDigit(bytes[i + 1] as number)
  );
}

/** `=>`, behind marks of a quotation too. */
function isArrow(bytes: Uint8Array, start: number, end: number): boolean {
  let i = start;
  while (i < end && (isBlank(bytes[i] as number) || bytes[i] === GREATER)) i += 1;
  return bytes[i] === EQUALS && bytes[i + 1] === GREATER;
}
