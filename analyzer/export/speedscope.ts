/**
 * An evented profile of speedscope a lane, as https://www.speedscope.app/file-format-schema.json describes it: exits
 * as frames, with what they are about as a frame inside, and the exits that served them inside that; with symbols, the
 * function that exited is the frame outside. Events of a profile stand together, so the trace is read once a lane; memory grows with the number of distinct frames alone.
 */
import { EVENT_KINDS } from '../../engine/observer.js';
import type { TraceReader } from '../../traces/store.js';
import { narrow } from '../profile/view.js';
import type { Symbols } from '../symbols/symbols.js';
import { type Exported, readChunks, type TextSink } from './document.js';
import { type Mark, SPAN_COLUMNS, type Span, SpanWalker } from './spans.js';

const SCHEMA = 'https://www.speedscope.app/file-format-schema.json';
/** Distinct frames; beyond, pages and ports are left out. */
const MOST_FRAMES = 65_536;

/** Lanes that get a profile, each for one pass over the trace: the busiest. */
const MOST_LANES = 256;

class Frames {
  readonly #index = new Map<string, number>();

  get names(): Iterable<string> {
    return this.#index.keys();
  }

  /** Index of a frame; null where there are too many and it is not one of them. */
  of(name: string): number | null {
    const known = this.#index.get(name);
    if (known !== undefined) return known;
    if (this.#index.size >= MOST_FRAMES) return null;
    this.#index.set(name, this.#index.size);
    return this.#index.size - 1;
  }
}

/** Writes all exits of a trace; `written` counts them. */
export function exportSpeedscope(
  reader: TraceReader,
  sink: TextSink,
  { symbols = null }: { readonly symbols?: Symbols | null } = {},
): Exported {
  const { lanes, found, damage: early } = busiest(reader);
  let damage = early;
  const frames = new Frames();
  let written = 0;
  let failed = 0;
  let profiles = 0;
  sink.write(`{"$schema":"${SCHEMA}","name":${JSON.stringify(reader.path)},"exporter":"trapline","profiles":[`);
  for (const lane of lanes) {
    const profile = new LaneProfile(frames, sink, profiles > 0 ? ',\n' : '\n', symbols);
    const walker = new SpanWalker(profile, (domain, code) => reader.name(domain, code), lane);
    damage = readChunks(reader, 'event', SPAN_COLUMNS, (chunk) => walker.take(chunk)) ?? damage;
    walker.end();
    written += profile.exits;
    failed += profile.failed;
    if (profile.exits === 0) continue; // a lane without exits has no profile
    profiles += 1;
    const name = reader.name('vcpu', lane) ?? `vCPU ${lane}`;
    const unit = walker.unit === 'ns' ? 'nanoseconds' : 'none';
    sink.write(
      `],"startValue":${profile.first},"endValue":${profile.last},"unit":"${unit}","name":${JSON.stringify(name)}}`,
    );
  }
  const shared = { frames: [...frames.names].map((name) => ({ name })) };
  sink.write(`\n],"shared":${JSON.stringify(shared)}}\n`);
  const left = found - lanes.length;
  const remarks = [
    left > 0 ? `${left} lanes with the fewest exits are left out` : '',
    failed > 0 ? `entries that failed are left out, being instants, which speedscope has not: ${failed}` : '',
  ].filter((remark) => remark !== '');
  return { written, damage, ...(remarks.length > 0 ? { remark: remarks.join('; ') } : {}) };
}

/** The lanes with the most exits, ascending, and how many have any. */
function busiest(reader: TraceReader): { lanes: number[]; found: number; damage: Exported['damage'] } {
  const exits = new Map<number, number>();
  const damage = readChunks(reader, 'event', ['vcpu', 'kind'], (chunk) => {
    const lane = narrow(chunk.column('vcpu')).cells;
    const kind = narrow(chunk.column('kind')).cells;
    for (let i = 0; i < chunk.rows; i++) {
      if (kind[i] !== EVENT_KINDS.exit) continue;
      exits.set(lane[i] as number, (exits.get(lane[i] as number) ?? 0) + 1);
    }
  });
  const order = [...exits].sort((a, b) => b[1] - a[1]).slice(0, MOST_LANES);
  return { lanes: order.map(([lane]) => lane).sort((a, b) => a - b), found: exits.size, damage };
}

/** Events of one lane; what it opened is what it closes. */
class LaneProfile {
  readonly #frames: Frames;
  readonly #sink: TextSink;
  readonly #head: string;
  readonly #symbols: Symbols | null;
  /** Frames of each open exit. */
  readonly #open: number[][] = [];
  exits = 0;
  failed = 0;
  first = 0;
  last = 0;
  #events = 0;

  constructor(frames: Frames, sink: TextSink, before: string, symbols: Symbols | null) {
    this.#frames = frames;
    this.#sink = sink;
    this.#symbols = symbols;
    this.#head = `${before}{"type":"evented","events":[`;
  }

  open({ at, name, key, level, rip }: Span): void {
    if (this.exits === 0) {
      this.#sink.write(this.#head);
      this.first = at;
    }
    this.exits += 1;
    const symbol = rip === null ? null : (this.#symbols?.find(level, rip)?.name ?? null);
    const names = [symbol ?? '', name, key].filter((text) => text !== '');
    const frames = names.map((each) => this.#frames.of(each)).filter((frame) => frame !== null);
    this.#open.push(frames);
    for (const frame of frames) this.#event('O', frame, at);
  }

  close(_lane: number, at: number): void {
    const frames = this.#open.pop() ?? [];
    for (const frame of frames.reverse()) this.#event('C', frame, at);
  }

  /** The format has no instants. */
  mark({ kind }: Mark): void {
    if (kind === 'entry_failed') this.failed += 1;
  }

  #event(type: 'O' | 'C', frame: number, at: number): void {
    this.#sink.write(`${this.#events > 0 ? ',' : ''}\n{"type":"${type}","frame":${frame},"at":${at}}`);
    this.#events += 1;
    this.last = at;
  }
}
