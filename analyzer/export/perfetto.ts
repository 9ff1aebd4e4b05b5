/**
 * Trace Event Format (JSON), which Perfetto and chrome://tracing read: VMs as processes, lanes as threads, exits as
 * nested slices, failed entries and gaps as instants.
 * https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU ("Trace Event Format")
 */
import type { TraceReader } from '../../traces/store.js';
import type { Symbols } from '../symbols/symbols.js';
import { type Exported, readChunks, type TextSink } from './document.js';
import { SPAN_COLUMNS, SpanWalker } from './spans.js';

/** Times are microseconds in this format; a tick stands for a nanosecond. */
const micros = (ns: number): string => `${Math.floor(ns / 1000)}.${String(ns % 1000).padStart(3, '0')}`;

/** Which VM a lane belongs to: dictionary domain vcpu says it as JSON; 1 where it does not. */
function processOf(says: string | null): number {
  try {
    const told: unknown = JSON.parse(says ?? 'null');
    const vm = typeof told === 'object' && told !== null && 'vm' in told ? told.vm : null;
    return typeof vm === 'number' && Number.isSafeInteger(vm) && vm > 0 ? vm : 1;
  } catch {
    return 1;
  }
}

/**
 * A slice that is open, as JSON. Perfetto ends the innermost slice; speedscope the one of that name, and where an end and
 * a beginning have one time it takes the end first unless args are the same too: the end of a slice that lasts no time
 * would come before it, and leave it open. That end alone repeats the args; in all of them they make a file a fourth
 * larger. Complete events (`X`) would be smaller, but versions of Perfetto lay those that begin at one time inside out.
 */
interface OpenSlice {
  readonly name: string;
  readonly at: number;
  readonly args: string;
}

/** Writes all exits of a trace; `written` counts slices and instants. Memory does not grow with the trace. */
export function exportPerfetto(
  reader: TraceReader,
  sink: TextSink,
  { symbols = null }: { readonly symbols?: Symbols | null } = {},
): Exported {
  const lanes = reader.dictionary('vcpu');
  const places = new Map<number, string>();
  const open = new Map<number, OpenSlice[]>();
  let written = 0;
  let between = '\n';
  const put = (event: string): void => {
    sink.write(between + event);
    between = ',\n';
  };
  const place = (lane: number): string => {
    let text = places.get(lane);
    if (text === undefined) {
      const told = lanes.get(BigInt(lane));
      const process = processOf(told?.says ?? null);
      text = `"pid":${process},"tid":${lane + 1}`; // 0 is the idle thread
      places.set(lane, text);
      const vm = JSON.stringify(process === 1 ? 'machine' : `VM ${process}`);
      put(`{"ph":"M","name":"process_name",${text},"args":{"name":${vm}}}`);
      put(`{"ph":"M","name":"thread_name",${text},"args":{"name":${JSON.stringify(told?.name ?? `vCPU ${lane}`)}}}`);
    }
    return text;
  };
  const walker = new SpanWalker(
    {
      open({ lane, at, seq, name, key, level, rip }) {
        const symbol = rip === null ? null : (symbols?.label(level, rip) ?? null);
        const about =
          (key === '' ? '' : `,"about":${JSON.stringify(key)}`) +
          (rip === null ? '' : `,"rip":"0x${rip.toString(16)}"`) +
          (symbol === null ? '' : `,"symbol":${JSON.stringify(symbol)}`);
        const where = place(lane);
        const slice = { name: JSON.stringify(name), at, args: `,"args":{"seq":${seq}${about}}` };
        const slices = open.get(lane);
        if (slices === undefined) open.set(lane, [slice]);
        else slices.push(slice);
        put(`{"ph":"B","cat":"exit","name":${slice.name},"ts":${micros(at)},${where}${slice.args}}`);
        written += 1;
      },
      close(lane, at) {
        const slice = open.get(lane)?.pop();
        if (slice === undefined) return;
        const args = slice.at === at ? slice.args : '';
        put(`{"ph":"E","cat":"exit","name":${slice.name},"ts":${micros(at)},${place(lane)}${args}}`);
      },
      mark({ lane, at, seq, kind, name }) {
        const scope = kind === 'lost' ? 'g' : 't';
        const where = place(lane);
        put(
          `{"ph":"i","s":"${scope}","cat":"${kind}","name":${JSON.stringify(name)},"ts":${micros(at)},${where},"args":{"seq":${seq}}}`,
        );
        written += 1;
      },
    },
    (domain, code) => reader.name(domain, code),
  );
  sink.write('{"displayTimeUnit":"ns","traceEvents":[');
  const damage = readChunks(reader, 'event', SPAN_COLUMNS, (chunk) => walker.take(chunk));
  walker.end();
  const clock = {
    ticks: 'ticks; one is shown as a nanosecond',
    cycles: 'cycles of the host; one is shown as a nanosecond',
    ns: 'nanoseconds of the host',
    none: 'none: order alone',
  };
  const facts = { trace: reader.path, clock: clock[walker.unit ?? 'none'], origin: walker.origin.toString() };
  sink.write(`\n],"otherData":${JSON.stringify(facts)}}\n`);
  return { written, damage };
}
