import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { StreamWriter } from '../../recorder/import/stream.js';
import { version6 } from './trace-dat-files.js';

/**
 * kernel/trace/ring_buffer.c: a page begins with a time, and what follows moves it on or, with an absolute time stamp, sets
 * it. Pages of one CPU need not rise, where its clock went back.
 */
type Item = { readonly does: 'record' | 'extend' | 'stamp'; readonly time: number };
type Page = { readonly base: number; readonly items: readonly Item[] };

const PAGE = 4096;
const [TIME_EXTEND, TIME_STAMP] = [30, 31];
const FORMAT = [
  'name: thing',
  'ID: 7',
  'format:',
  '\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;',
  '\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;',
  '\tfield:unsigned char common_preempt_count;\toffset:3;\tsize:1;\tsigned:0;',
  '\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;',
  '',
  'print fmt: ""',
  '',
].join('\n');

const item = fc.record<Item>({
  does: fc.constantFrom('record', 'record', 'record', 'extend', 'stamp'),
  time: fc.nat(60),
});
/** Some of them where the low half of a time overflows. */
const base = fc.oneof(
  { weight: 3, arbitrary: fc.nat(300) },
  fc.nat(300).map((time) => 2 ** 32 - 150 + time),
);
const cpus = fc.array(fc.array(fc.record<Page>({ base, items: fc.array(item, { maxLength: 8 }) }), { maxLength: 5 }), {
  minLength: 1,
  maxLength: 7,
});

function written({ base, items }: Page): Uint8Array {
  const page = Buffer.alloc(PAGE);
  page.writeBigUInt64LE(BigInt(base), 0);
  let at = 16;
  for (const { does, time } of items) {
    const type = { record: 2, extend: TIME_EXTEND, stamp: TIME_STAMP }[does];
    page.writeUInt32LE((time << 5) | type, at);
    if (does === 'record') {
      page.writeUInt16LE(7, at + 4);
      page.writeInt32LE(1, at + 8);
      at += 4;
    }
    at += 8;
  }
  page.writeBigUInt64LE(BigInt(at - 16), 8);
  return page;
}

/** Times of a CPU's records. */
function timesOf(pages: readonly Page[]): number[] {
  return pages.flatMap(({ base, items }) => {
    let now = base;
    const times: number[] = [];
    for (const { does, time } of items) {
      now = does === 'stamp' ? time : now + time;
      if (does === 'record') times.push(now);
    }
    return times;
  });
}

/** What is the earliest of those that the CPUs are at goes first, of equal ones that of the lower CPU. */
function merged(all: readonly (readonly number[])[]): number[] {
  const left = all.map((times) => [...times]);
  const order: number[] = [];
  for (;;) {
    const heads = left.map(([head]) => head ?? Number.POSITIVE_INFINITY);
    const earliest = Math.min(...heads);
    if (earliest === Number.POSITIVE_INFINITY) return order;
    order.push(earliest);
    left[heads.indexOf(earliest)]?.shift();
  }
}

const lateIn = (order: readonly number[]): number =>
  order.filter((time, i) => time < Math.max(...order.slice(0, i), 0)).length;

test('records go in the order of time of the CPUs, and those that come late are counted', () => {
  fc.assert(
    fc.property(cpus, (all) => {
      const order = merged(all.map(timesOf));
      fc.pre(order.length > 0);
      const bytes = version6({
        little: true,
        pageSize: PAGE,
        formats: [{ system: 'things', text: FORMAT }],
        commands: [[1, 't']],
        cpus: all.map((pages) => pages.map(written)),
      });
      const times: number[] = [];
      const writer = new StreamWriter((chunk) => {
        if (chunk.table !== 'event') return;
        for (let i = 0; i < chunk.rows; i++) times.push(Number(chunk.row(i).time_ns));
      });
      const { notes } = importTrace(memorySource(bytes), () => writer);
      assert.deepEqual(times, order);
      const late = lateIn(order);
      const told = notes.find(({ says }) => says.includes('older than others'));
      assert.equal(Number.parseInt(told?.says ?? '0', 10), late);
    }),
    { numRuns: 600, seed: 1 },
  );
});
