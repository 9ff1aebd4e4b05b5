/**
 * `trapline import --follow`: where the exits go, while the recording goes on. One thread reads, stores and counts
 * (follow-worker.ts); this one shows what it sends, on a terminal, as tables in a pipe, or as JSON lines.
 */
import { isatty } from 'node:tty';
import { printable } from '../engine/errors.js';
import { checkPlace } from '../traces/open.js';
import { type Call, EXIT } from './command.js';
import { CliError, formatError } from './errors.js';
import { Control, type FollowEnd, type FollowStart, GROUPS, type Group, type Snapshot } from './follow-protocol.js';
import { Screen } from './follow-screen.js';
import { type Choice, formatClock, frame, type Order, ordered, rowLines, totals, trouble } from './follow-view.js';
import { describeCounts, printNotes } from './import-text.js';
import { InputThread } from './input-thread.js';
import { toJsonLine } from './json.js';
import type { Output } from './output.js';
import { stdoutReader } from './pipe.js';
import { sayPlaced } from './placed.js';
import { EXIT_SIGPIPE } from './program.js';
import { formatDigest } from './table.js';
import { readTscHz } from './tsc.js';

/** Something that shows snapshots as they come. */
interface View {
  show(snapshot: Snapshot): void;
  /** What the person should know meanwhile. */
  say(text: string): void;
  /** Nothing is shown afterwards but what is printed. */
  close(): void;
}

/** Rows of a table that is printed again and again. */
const ROWS = 20;

const KEY_ORDERS: { readonly [key: string]: Order } = {
  c: 'count',
  r: 'rate',
  t: 'time',
  m: 'mean',
  '9': 'p99',
  x: 'max',
};
/** Keys that scroll, and by how many rows: arrows as a terminal sends them in either mode, and vi's. */
const SCROLLS: { readonly [key: string]: number } = {
  '\u001b[A': -1,
  '\u001b[B': 1,
  '\u001bOA': -1,
  '\u001bOB': 1,
  '\u001b[5~': -10,
  '\u001b[6~': 10,
  k: -1,
  j: 1,
};

class ScreenView implements View {
  readonly #out: Output;
  readonly #control: Control;
  readonly #title: string;
  readonly #quit: () => void;
  readonly #screen: Screen;
  #choice: Choice = { order: 'count', span: 'all', paused: false, from: 0 };
  #snapshot: Snapshot | null = null;
  #says: string | null = null;

  constructor(out: Output, control: Control, title: string, quit: () => void) {
    this.#out = out;
    this.#control = control;
    this.#title = title;
    this.#quit = quit;
    this.#screen = new Screen(process.stdout, { key: (key) => this.#key(key), resize: () => this.#draw() });
  }

  show(snapshot: Snapshot): void {
    const regrouped = snapshot.group !== this.#snapshot?.group;
    if (!this.#choice.paused || regrouped) this.#snapshot = snapshot;
    if (!this.#choice.paused || regrouped) this.#draw();
  }

  say(text: string): void {
    this.#says = text;
    this.#draw();
  }

  close(): void {
    this.#screen.close();
  }

  #key(key: string): void {
    const { paused, span, from } = this.#choice;
    const order = KEY_ORDERS[key];
    const rows = this.#snapshot?.profile.rows.length ?? 0;
    if (key === 'q') this.#quit();
    else if (key === ' ' || key === 'p') this.#choose({ paused: !paused });
    else if (key === 'w') this.#choose({ span: span === 'all' ? 'recent' : 'all' });
    else if (key === 'v') this.#control.group = next(this.#control.group);
    else if (order !== undefined) this.#choose({ order, from: 0 });
    else if (SCROLLS[key] !== undefined) {
      this.#choose({ from: Math.max(0, Math.min(rows - 1, from + (SCROLLS[key] ?? 0))) });
    }
  }

  #choose(change: Partial<Choice>): void {
    this.#choice = { ...this.#choice, ...change };
    this.#draw();
  }

  #draw(): void {
    const { width, height, keys } = this.#screen;
    const [title, choice, says] = [this.#title, this.#choice, this.#says];
    if (this.#snapshot === null) return;
    const paint = this.#out.paint.bind(this.#out);
    this.#screen.draw(frame(this.#snapshot, { title, choice, width, height, keys, says, paint }));
  }
}

const next = (group: Group): Group => GROUPS[(GROUPS.indexOf(group) + 1) % GROUPS.length] ?? 'level';

/** A table each interval in which something came. */
class TableView implements View {
  readonly #out: Output;
  #events = 0;

  constructor(out: Output) {
    this.#out = out;
  }

  show(snapshot: Snapshot): void {
    const { profile } = snapshot;
    if (profile.all.events === this.#events) return;
    this.#events = profile.all.events;
    const remark = trouble(snapshot);
    printTable(this.#out, snapshot, 'recent', ROWS);
    if (remark !== null) this.#out.line(remark);
    this.#out.line();
  }

  say(text: string): void {
    this.#out.note(text);
  }

  close(): void {}
}

/** One JSON document a line. */
class LineView implements View {
  readonly #out: Output;

  constructor(out: Output) {
    this.#out = out;
  }

  show(snapshot: Snapshot): void {
    this.#out.line(toJsonLine({ type: 'interval', ...snapshot }));
  }

  say(text: string): void {
    this.#out.note(text);
  }

  close(): void {}
}

function printTable(out: Output, snapshot: Snapshot, rates: 'all' | 'recent', most: number): void {
  const { profile, group } = snapshot;
  const paint = out.paint.bind(out);
  out.line(`${formatClock(profile.all.span)}  ${totals(snapshot, rates, paint).join(', ')}`);
  const rows = ordered(profile.rows, 'count', 'all');
  const { unit } = profile;
  const options = { group, order: 'count', span: 'all', rates, width: out.width, paint, unit } as const;
  if (rows.length > 0) for (const line of rowLines(rows.slice(0, most), options)) out.line(line);
  if (rows.length > most) out.line(paint('dim', `${rows.length - most} more`));
}

/** Milliseconds from a number of seconds, as a person writes it. */
function readInterval(text: string | null): number {
  if (text === null) return 1000;
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (seconds >= 0.1 && seconds <= 3600) return seconds * 1000;
  throw new CliError('BAD_VALUE', `import --interval ${text}`, 'seconds from 0.1 to 3600 are meant');
}

function readGroup(text: string | null): Group {
  const group = GROUPS.find((name) => name === (text ?? 'level'));
  if (group !== undefined) return group;
  throw new CliError('BAD_VALUE', `import --by ${text}`, `one of ${GROUPS.join(', ')} is meant`);
}

function printEnd(call: Call, { snapshot, result, stopped }: FollowEnd, path: string | null): void {
  const { out } = call;
  if (call.flag('json')) {
    out.line(toJsonLine({ type: 'end', ...snapshot, ...result, path, stopped }));
    return;
  }
  if (result === null) {
    out.note('ended before the first event');
    return;
  }
  printTable(out, snapshot, 'all', Number.POSITIVE_INFINITY);
  out.line();
  out.line(`${result.source}: ${describeCounts(result)}`);
  if (path !== null) out.line(`${path}: digest ${formatDigest(result.digest)}`);
  printNotes(out, result);
}

/** Follows a recording to its end. */
export async function follow(call: Call, file: string): Promise<number> {
  const { out } = call;
  const interval = readInterval(call.value('interval'));
  const group = readGroup(call.value('by'));
  if (file === '-' && isatty(0))
    throw new CliError('BAD_VALUE', 'import -', 'standard input is a terminal', 'pipe a recorder into it');
  const output = call.value('output');
  if (output !== null) checkPlace(output, { replace: call.flag('replace') });
  const memory = Control.create();
  const control = new Control(memory);
  control.group = group;
  const start: FollowStart = {
    file,
    output,
    replace: call.flag('replace'),
    interval,
    tscHz: readTscHz(call),
    control: memory,
  };
  const thread = new InputThread<Snapshot, FollowEnd>(new URL('./follow-worker.js', import.meta.url), start);
  const name = file === '-' ? 'standard input' : printable(file);
  const title = `trapline  ${name}${output === null ? '' : ` → ${output}`}`;
  const view = chooseView(call, control, title, () => thread.stop('SIGINT'));
  const look = (snapshot: Snapshot): void => {
    view.show(snapshot);
    const seen = (): void => {
      control.seen = snapshot.number;
    };
    // what nobody takes must not pile up
    if (process.stdout.writableNeedDrain) process.stdout.once('drain', seen);
    else seen();
  };
  stdoutReader.optional = true;
  // nobody looks on any more: without a trace that is the end, in order, so that nothing stays behind that reads the input
  let isUnread = false;
  process.stdout.once('error', () => {
    isUnread = output === null;
    if (isUnread) thread.stop('SIGTERM');
  });
  const shown = { look, say: (text: string) => view.say(text), close: () => view.close() };
  const end = await thread.ended(shown, out);
  if (isUnread) return EXIT_SIGPIPE;
  // what is still to be told of a look without a trace is all that there is of it
  stdoutReader.optional = output !== null;
  const path = output === null ? null : (end.result?.path ?? null);
  printEnd(call, end, path);
  if (output !== null && path !== null) sayPlaced(out, output, path);
  if (end.stopped === null) return EXIT.holds;
  out.note(formatError(end.stopped));
  return EXIT.wrong;
}

function chooseView(call: Call, control: Control, title: string, quit: () => void): View {
  const { out } = call;
  if (call.flag('json')) return new LineView(out);
  const screen = out.width !== Number.POSITIVE_INFINITY && process.env.TERM !== 'dumb';
  return screen ? new ScreenView(out, control, title, quit) : new TableView(out);
}
