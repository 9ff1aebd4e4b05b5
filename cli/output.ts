/** Where a command writes: results to stdout, notes and progress to stderr; colours and progress on terminals only. */
import { printable } from '../engine/errors.js';
import { toJson } from './json.js';
import { layTable, type TableColumn, widthOf } from './table.js';
import { wrap } from './wrap.js';

export interface Sink {
  write(text: string): unknown;
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  /** Of a stream: false where it takes no more. */
  readonly writable?: boolean | undefined;
}

const STYLES = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
} as const;
export type Style = keyof typeof STYLES;

/** What a line may have besides text: its end, tabs, and the colours above. */
const OWN = new RegExp(`(\\u001b\\[(?:${Object.values(STYLES).flat().join('|')})m|[\\n\\t])`);

/** A line that a terminal may get: names and texts of a trace are whatever its guests and threads made them. */
export const harmless = (text: string): string =>
  text
    .split(OWN)
    .map((part, i) => (i % 2 === 1 ? part : printable(part)))
    .join('');

/** Progress of long work; silent unless stderr is a terminal. */
export interface Progress {
  /** `total` of 0 means unknown. Cheap: draws ten times a second at the most. */
  update(done: number, total: number): void;
  /** Removes the bar. */
  end(): void;
}

const SILENT: Progress = { update() {}, end() {} };
const REDRAW_MS = 100;
const BAR = 28;

class Bar implements Progress {
  readonly #sink: Sink;
  readonly #label: string;
  #drawn = 0;

  constructor(sink: Sink, label: string) {
    this.#sink = sink;
    this.#label = label;
  }

  update(done: number, total: number): void {
    const now = Date.now();
    if (now - this.#drawn < REDRAW_MS) return;
    this.#drawn = now;
    const share = total > 0 ? Math.min(1, done / total) : 0;
    const filled = Math.round(share * BAR);
    const bar = total > 0 ? `${'━'.repeat(filled)}${' '.repeat(BAR - filled)} ${Math.floor(share * 100)}%` : `${done}`;
    this.#sink.write(`\r\u001b[2K${this.#label} ${bar}`);
  }

  end(): void {
    if (this.#drawn > 0) this.#sink.write('\r\u001b[2K');
    this.#drawn = 0;
  }
}

export class Output {
  readonly #out: Sink;
  readonly #err: Sink;
  readonly #colour: boolean;

  constructor(out: Sink, err: Sink, env: { readonly [name: string]: string | undefined }) {
    this.#out = out;
    this.#err = err;
    // https://no-color.org: any value but the empty one
    this.#colour = out.isTTY === true && (env.NO_COLOR ?? '') === '' && env.TERM !== 'dumb';
  }

  /** Columns of the terminal; Infinity where stdout is none, so that pipes get every character. */
  get width(): number {
    return this.#out.isTTY === true ? (this.#out.columns ?? 80) : Number.POSITIVE_INFINITY;
  }

  /** Whether whoever read stdout went away. Work without end asks; all else ends by SIGPIPE's code (main.ts). */
  get unread(): boolean {
    return this.#out.writable === false;
  }

  paint(style: Style, text: string): string {
    if (!this.#colour || text === '') return text;
    const [on, off] = STYLES[style];
    return `\u001b[${on}m${text}\u001b[${off}m`;
  }

  /** Text of others, for a line: on a terminal without what would be a command to it, colours too. */
  foreign(text: string): string {
    return this.#out.isTTY === true ? printable(text) : text;
  }

  /** Prints a line; on a terminal without what would be a command to it. */
  line(text = ''): void {
    this.#out.write(`${this.#out.isTTY === true ? harmless(text) : text}\n`);
  }

  /** One line in a pipe; on a terminal as many as it takes, those after the first indented. */
  paragraph(text: string, indent: number): void {
    const lines = this.width === Number.POSITIVE_INFINITY ? [text] : wrap(text, this.width - indent);
    for (const [i, line] of lines.entries()) this.line(i === 0 ? line : ' '.repeat(indent) + line);
  }

  title(text: string): void {
    this.line(this.paint('bold', text));
  }

  /** Whether a table has room in the width of the terminal as it is, with nothing cut or left out. */
  fits(columns: readonly TableColumn[], rows: readonly (readonly string[])[]): boolean {
    return layTable(columns, rows).every((line) => widthOf(line) <= this.width);
  }

  table(columns: readonly TableColumn[], rows: readonly (readonly string[])[]): void {
    for (const line of layTable(columns, rows, this.width, (text) => this.paint('dim', text))) this.line(line);
  }

  json(value: unknown): void {
    this.line(toJson(value));
  }

  /** A remark for the person at the terminal; never part of the result. */
  note(text: string): void {
    this.#err.write(`trapline: ${text}\n`);
  }

  progress(label: string): Progress {
    return this.#err.isTTY === true ? new Bar(this.#err, label) : SILENT;
  }
}
