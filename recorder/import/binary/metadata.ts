/**
 * What a recorder copies from tracefs into its file: the layouts of ring-buffer pages and of events. trace.dat has it
 * as sections (trace-cmd.dat.v6(5), v7(5)), perf.data as one block with a header of its own
 * (tools/perf/util/trace-event-read.c).
 */
import { Formats, parseFields } from './formats.js';
import type { Scanner } from './scanner.js';

/** A `format` file is a few KiB; hostile ones must not become strings. */
const MAX_FORMAT = 1 << 20;
/** Descriptions in all: kernels have some 3,000 events of a KiB each. */
const MAX_FORMATS = 256 << 20;

/** Where the parts of a ring-buffer page lie (header_page of tracefs). */
export interface PageLayout {
  readonly commitAt: number;
  /** 8 on 64-bit kernels, 4 on 32-bit ones. */
  readonly commitSize: number;
  readonly dataAt: number;
}

export const defaultPage = (longSize: number): PageLayout => ({
  commitAt: 8,
  commitSize: longSize,
  dataAt: 8 + longSize,
});

function sized(scanner: Scanner, what: string): string {
  const size = scanner.u64(`size of ${what}`);
  if (size > MAX_FORMAT) throw scanner.corrupt(`${what} of ${size} bytes`);
  return scanner.text(size, what);
}

/** header_page and header_event. */
export function readHeaderInfo(scanner: Scanner, longSize: number): PageLayout {
  const expect = (name: string): string => {
    const found = scanner.string(name, 16);
    if (found !== name) throw scanner.corrupt(`'${found}' where ${name} must be`);
    return sized(scanner, name);
  };
  const fields = parseFields(expect('header_page'));
  expect('header_event'); // its layout is that of the ring buffer, not of a record: it has never changed since 2.6.31
  const commit = fields.find(({ name }) => name === 'commit');
  const data = fields.find(({ name }) => name === 'data');
  if (commit === undefined || data === undefined) return defaultPage(longSize);
  if (commit.offset !== 8 || (commit.size !== 4 && commit.size !== 8) || data.offset < commit.offset + commit.size)
    throw scanner.corrupt(`a page with its commit of ${commit.size} bytes at ${commit.offset}`);
  return { commitAt: commit.offset, commitSize: commit.size, dataAt: data.offset };
}

class Budget {
  #spent = 0;

  spend(scanner: Scanner, text: string): string {
    this.#spent += text.length;
    if (this.#spent > MAX_FORMATS) throw scanner.corrupt(`event formats of more than ${MAX_FORMATS} bytes`);
    return text;
  }
}

/** Formats of ftrace's own events. */
export function readFtraceFormats(scanner: Scanner, into: Formats): void {
  const budget = new Budget();
  const count = scanner.u32('number of ftrace formats');
  for (let i = 0; i < count; i++) into.add('ftrace', budget.spend(scanner, sized(scanner, 'an ftrace format')));
}

/** Formats of events, by system. */
export function readEventFormats(scanner: Scanner, into: Formats): void {
  const budget = new Budget();
  const systems = scanner.u32('number of event systems');
  for (let i = 0; i < systems; i++) {
    const system = scanner.string('name of an event system');
    const count = scanner.u32(`number of events of ${system}`);
    for (let k = 0; k < count; k++) into.add(system, budget.spend(scanner, sized(scanner, `a format of ${system}`)));
  }
}

/** Lines of `pid comm`. */
export function readCommands(text: string, into: Map<number, string>): void {
  for (const line of text.split('\n')) {
    const space = line.indexOf(' ');
    const pid = Number(line.slice(0, space));
    if (space > 0 && Number.isSafeInteger(pid)) into.set(pid, line.slice(space + 1));
  }
}

export interface Metadata {
  readonly formats: Formats;
  readonly page: PageLayout;
  readonly longSize: number;
  readonly pageSize: number;
}

/** Everything up to the symbols, in version 6's order. */
export function readMetadata(scanner: Scanner, longSize: number, pageSize: number): Metadata {
  const formats = new Formats();
  const page = readHeaderInfo(scanner, longSize);
  readFtraceFormats(scanner, formats);
  readEventFormats(scanner, formats);
  return { formats, page, longSize, pageSize };
}
