/** Imports trace.dat: the records of all host CPUs and buffer instances in the order of their time. */
import type { TraceWriter } from '../../../traces/store.js';
import { ImportError } from '../errors.js';
import type { ImportOptions, ImportResult } from '../result.js';
import { type ByteSource, spool } from '../source.js';
import { carryOut, type Work } from '../work.js';
import type { Buffer, CpuData } from './buffers.js';
import { Clock, COUNTS_TSC, scaleOf, TSC } from './clock.js';
import { Growth, HELD } from './compression.js';
import { Intake } from './intake.js';
import { blockSize, CompressedPages, PlainPages } from './pages.js';
import { Merge, type Pages, RingCursor } from './ring.js';
import { Passage } from './rounds.js';
import { readAhead, Scanner } from './scanner.js';
import { latency, TraceDat } from './tracedat.js';

const FORMAT = 'trace-cmd';
const PROGRESS = 0x3fff;
const CYCLES =
  'the clock of the recording counts cycles of the TSC, and the file does not say how many a second: times are cycles; ' +
  'with --tsc-hz they become nanoseconds';
/** Data of a CPU, and the first byte that is not its own. */
interface Area {
  readonly buffer: Buffer;
  readonly data: CpuData;
  end: number;
}

/** The records of one CPU in one buffer, and the clock of that buffer. */
class ClockedCursor extends RingCursor {
  readonly clock: Clock;

  constructor(clock: Clock, ...ring: ConstructorParameters<typeof RingCursor>) {
    super(...ring);
    this.clock = clock;
  }
}

class TraceDatImport implements Work {
  readonly #file: TraceDat;
  readonly #little: boolean;
  readonly #intake: Intake;
  /** By the name of the clock that a buffer was recorded with. */
  readonly #clocks = new Map<string, Clock>();
  readonly #options: ImportOptions;
  readonly #marked = new Map<number, number>();
  /** It is known which CPU each buffer's data is of. */
  readonly #numbered: boolean;
  readonly #order = new Passage();
  #merge: Merge<ClockedCursor> | null = null;
  readonly #where = (): string => this.#merge?.first()?.where() ?? this.#file.bytes.name;

  constructor(file: TraceDat, open: () => TraceWriter, options: ImportOptions) {
    this.#options = options;
    this.#file = file;
    this.#little = file.little;
    this.#intake = new Intake(open, file.little, options, file.commands);
    this.#intake.where = this.#where;
    for (const problem of file.problems) this.#intake.damage(problem);
    for (const says of file.inferred) this.#intake.trace.notes.add(null, says);
    this.#numbered = file.buffers.every(({ numbered }) => numbered);
    for (const { threads } of file.guests) for (const [thread, vcpu] of threads) this.#intake.vcpus.set(thread, vcpu);
  }

  #clockName({ clock }: Buffer): string {
    return clock || this.#file.clock;
  }

  /** Instances may have clocks of their own (`trace-cmd record -B NAME -C CLOCK`); `alone` where no other buffer has. */
  #clock(buffer: Buffer, alone: boolean): Clock {
    const file = this.#file;
    const name = this.#clockName(buffer);
    const known = this.#clocks.get(name);
    if (known !== undefined) return known;
    const { tscHz } = this.#options;
    const told = alone || COUNTS_TSC.has(name) ? file.tsc : null;
    const scale = told ?? (name === TSC && tscHz !== undefined ? scaleOf(tscHz) : null);
    if (told === null && scale !== null) this.#intake.trace.usesTscHz = true;
    const cycles = scale === null && name === TSC;
    if (cycles) this.#intake.cycles = true;
    const clock = new Clock(scale, cycles ? 0n : file.timeOffset, name);
    this.#clocks.set(name, clock);
    if (this.#clocks.size > 1) this.#intake.leavesOut = false;
    return clock;
  }

  #cursors(): ClockedCursor[] {
    const { buffers, page, little } = this.#file;
    const areas = this.#areas(buffers);
    const alone = new Set(areas.map(({ buffer }) => this.#clockName(buffer))).size === 1;
    const growth = new Growth(areas.length);
    const damage = (where: string, why: string): void => this.#damage(new ImportError('CORRUPT', where, why));
    const back = (low: number, high: number): void => this.#order.loosen(low, high);
    return areas.map(({ buffer, data, end }) => {
      const pages = this.#pages(buffer, data, areas.length, end, growth);
      return new ClockedCursor(this.#clock(buffer, alone), data.cpu, pages, page, little, damage, back);
    });
  }

  /** Data of each CPU that has some, with where the next one's begins. Two that claim the same bytes are one too many. */
  #areas(buffers: readonly Buffer[]): readonly Area[] {
    const all = buffers.flatMap((buffer) =>
      buffer.cpus.filter(({ size }) => size > 0).map((data) => ({ buffer, data, end: Number.POSITIVE_INFINITY })),
    );
    const areas: Area[] = [];
    for (const area of all.toSorted((a, b) => a.data.offset - b.data.offset)) {
      const before = areas.at(-1);
      const { offset, cpu } = area.data;
      const taken = before === undefined ? 0 : before.data.offset + (before.buffer.compressed ? 1 : before.data.size);
      if (offset < taken) {
        const where = `${this.#file.bytes.name} (offset ${offset})`;
        this.#damage(
          new ImportError('CORRUPT', where, `data of CPU ${cpu} in that of CPU ${before?.data.cpu}: left out`),
        );
        continue;
      }
      if (before !== undefined) before.end = offset;
      areas.push(area);
    }
    const order = new Map(all.map(({ data }, i) => [data, i]));
    return areas.sort((a, b) => (order.get(a.data) ?? 0) - (order.get(b.data) ?? 0));
  }

  #pages({ pageSize, compressed }: Buffer, data: CpuData, cpus: number, end: number, growth: Growth): Pages {
    const { bytes, inflate, little } = this.#file;
    const isCut = this.#file.problems.some(({ code }) => code === 'TRUNCATED');
    const stop = (error: ImportError): void => {
      if (!isCut || error.code !== 'TRUNCATED') this.#damage(error); // that the file ends early was said
    };
    if (compressed && inflate !== null)
      return new CompressedPages(
        readAhead(bytes, blockSize(1, cpus)),
        data,
        pageSize,
        inflate,
        little,
        stop,
        growth,
        end,
      );
    if (cpus * pageSize > HELD)
      throw new ImportError(
        'CORRUPT',
        bytes.name,
        `pages of ${pageSize} bytes of ${cpus} CPUs, of each of which one is held`,
      );
    return new PlainPages(bytes, data, pageSize, blockSize(pageSize, cpus), stop);
  }

  #damage(error: ImportError): void {
    this.#intake.damage(error);
  }

  run(): void {
    const { formats, bytes } = this.#file;
    const type = formats.common('common_type');
    if (type === null || type.size !== 2) {
      throw new ImportError('CORRUPT', bytes.name, 'no event format that says where common_type is');
    }
    const merge = new Merge(this.#cursors());
    this.#merge = merge;
    const order = this.#order;
    const total = this.#file.buffers.reduce((sum, { cpus }) => sum + cpus.reduce((all, { size }) => all + size, 0), 0);
    let count = 0;
    for (let cursor = merge.first(); cursor !== undefined; cursor = merge.first()) {
      if (order.isLoose) order.passes(cursor.timeLow, cursor.timeHigh);
      if (cursor.missed !== 0) this.#missed(cursor);
      this.#record(cursor, type.offset);
      merge.advance();
      count += 1;
      if ((count & PROGRESS) === 0) this.#options.progress?.(Math.min(total, count * 40), total);
    }
    this.#remainder();
  }

  /** Takes the record at hand, whose number of its event lies at `typeAt`. */
  #record(cursor: ClockedCursor, typeAt: number): void {
    const intake = this.#intake;
    const { view, at, length, clock } = cursor;
    if (length < typeAt + 2) {
      this.#damage(new ImportError('CORRUPT', this.#where(), `a record of ${length} bytes`));
      return;
    }
    const program = intake.program(view.getUint16(at + typeAt, this.#little === true), this.#file.formats);
    if (length < program.size) {
      const why = `${program.format.name} has ${length} bytes, its format says ${program.size}`;
      this.#damage(new ImportError('CORRUPT', this.#where(), why));
      return;
    }
    const thread = intake.decoder.thread(program, view, at);
    let { timeLow, timeHigh } = cursor;
    if (clock.isPlain !== true) {
      clock.at(timeLow, timeHigh);
      timeLow = clock.timeLow;
      timeHigh = clock.timeHigh;
    }
    intake.record(program, view, at, length, timeLow, timeHigh, clock.hasTime, thread, -1, cursor.cpu);
  }

  #missed(cursor: RingCursor): void {
    const count = Math.max(0, cursor.missed);
    cursor.missed = 0;
    const cpu = this.#numbered ? cursor.cpu : -1;
    this.#marked.set(cpu, (this.#marked.get(cpu) ?? 0) + count);
    this.#intake.trace.lose(count, cpu, this.#where);
  }

  /** What the kernel's counters say beyond what its pages say: nobody knows where in the trace that was. */
  #remainder(): void {
    const { lost: counted } = this.#file;
    const total = [...counted.values()].reduce((sum, lost) => sum + lost, 0);
    for (const [cpu, lost] of this.#numbered ? counted : [[-1, total] as const]) {
      const more = lost - (this.#marked.get(cpu) ?? 0);
      if (more > 0 && this.#intake.trace.events > 0) this.#intake.trace.lose(more, cpu, this.#where);
    }
  }

  halt(error: unknown): void {
    if (!this.#intake.halt(error)) throw error;
  }

  finish(source: ByteSource): ImportResult {
    const { guests, hasTimeShift, hasText } = this.#file;
    const { notes } = this.#intake.trace;
    for (const { name, threads } of guests)
      notes.add(null, `host of the guest '${name}' with ${threads.size} vCPUs, whose threads the file names`);
    const { late } = this.#order;
    if (late > 0) notes.add(null, `${late} records are older than others of their CPU that stand before them`);
    if (hasTimeShift) notes.add(null, 'recorded in a guest: times are those of the guest, not of its host');
    if (hasText) notes.add(null, 'text of a latency tracer in the file was left out');
    if (this.#clocks.size > 1) {
      const names = [...this.#clocks.keys()].join(', ');
      notes.add(
        null,
        `buffers of different clocks (${names}): the order of events of one among those of another means nothing`,
      );
    }
    if (this.#intake.cycles) notes.add(null, CYCLES);
    else if ([...this.#clocks.values()].every(({ hasTime }) => !hasTime))
      notes.add(null, 'the clock of the recording counts no nanoseconds: no times');
    return this.#intake.finish(source, FORMAT);
  }

  abandon(): void {
    this.#intake.trace.writer?.abandon();
  }
}

/** Imports trace.dat; see importTrace for what it throws and returns. */
export function importTraceDat(source: ByteSource, open: () => TraceWriter, options: ImportOptions): ImportResult {
  const file = source.readAt === null ? spool(source) : source;
  try {
    const { readAt } = file;
    if (readAt === null) throw new Error('a spooled file that cannot be read at an offset');
    const dat = new TraceDat({ name: file.name, size: file.size, readAt });
    if (dat.buffers.length === 0) {
      if (dat.hasText) throw latency(new Scanner(dat.bytes, 0, dat.bytes.size, true));
      throw new ImportError('NO_EVENTS', file.name, 'no buffer in the file');
    }
    const work = new TraceDatImport(dat, open, options);
    return carryOut(work, file, () => work.run());
  } finally {
    if (file !== source) file.close();
  }
}
