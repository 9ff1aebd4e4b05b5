/**
 * Lines of ftrace with the options latency-format and verbose, which have a head of their own (trace_print_lat_context and
 * lat_print_timestamp of kernel/trace/trace_output.c): name, thread, CPU, flags, depth of preemption, number of the event,
 * the time in hexadecimal, and two differences. They are read with the head that other lines of ftrace have.
 */
import { MAX_LINE } from './lines.js';

const HEAD = String.raw`^ *(\S.{0,20}?) +(\d{1,10}) +(\d{1,5}) \d{1,3} [\da-f]{8} [\da-f]{8,16} `;
/** In microseconds, or of a clock that counts no nanoseconds. */
const TIMED = new RegExp(String.raw`${HEAD}\[([\da-f]{8,16})\] \d+\.\d{3}ms \(\+\d+\.\d{3}ms\): `);
const COUNTED = new RegExp(String.raw`${HEAD}\[([\da-f]{16})\] -?\d+ \(\+-?\d+\): `);
/** What a line must have to be worth a look: the bracket behind the head, at most so far from its beginning. */
const LONGEST_HEAD = 100;
const OPEN = 0x5b;
const MICROS = 1_000_000n;

function timeOf(micros: bigint): string {
  return `${micros / MICROS}.${String(micros % MICROS).padStart(6, '0')}`;
}

export class VerboseLine {
  bytes: Uint8Array = new Uint8Array(0);

  /** True where the line [start, end) has such a head; it is then in `bytes` with that of other lines. */
  take(bytes: Uint8Array, start: number, end: number): boolean {
    const open = bytes.subarray(start, Math.min(end, start + LONGEST_HEAD)).indexOf(OPEN);
    if (open < 0 || end - start > MAX_LINE) return false;
    const text = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
    const timed = TIMED.exec(text);
    const found = timed ?? COUNTED.exec(text);
    if (found === null) return false;
    const [head, name = '', thread = '', cpu = '', time = ''] = found;
    const count = BigInt(`0x${time}`);
    const stamp = timed === null ? String(count) : timeOf(count);
    const rest = text.slice(head.length);
    this.bytes = Buffer.from(`${name}-${thread} [${cpu.padStart(3, '0')}] ${stamp}: ${rest}`, 'latin1');
    return true;
  }
}
