/** Exports that speedscope reads, given to its own page and held against what `trapline query` says of the trace. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser } from 'playwright-core';
import { exportPerfetto } from '../../../analyzer/export/perfetto.js';
import { call } from '../../cli/process.js';
import { fixturePath } from '../../recorder/import-helpers.js';
import { folderOf } from '../../traces/rows.js';
import { launch, skip } from '../../web/browser.js';
import type { EventDraft } from '../profile-helpers.js';
import { type Box, speedscope } from './speedscope-page.js';
import { Paper, traceOf } from './traces.js';

/** A guest with a guest of its own; two vCPUs. */
const FIXTURES = {
  nested: 'svm-nested.trace.dat',
  lanes: 'svm-two-vcpus.trace.dat',
} as const;

/**
 * Every exit with its lane and the nanoseconds until its level runs again, or exits again; to the lane's end where it
 * does neither. What a lower level does for it meanwhile lies in between.
 */
const EXITS = `select x.seq, lanes.name as lane, 'L' || x.level || ' ' || x.name as name,
    coalesce(
      (select e.time_ns from named e
        where e.vcpu = x.vcpu and e.seq > x.seq
          and (e.kind = 'entry' and e.to_level >= x.level or e.kind = 'exit' and e.from_level >= x.level)
        order by e.seq limit 1),
      (select max(e.time_ns) from event e where e.vcpu = x.vcpu)) - x.time_ns as lasts
  from exit x join dictionary lanes on lanes.domain = 'vcpu' and lanes.code = x.vcpu
  where not x.failed order by x.seq`;

interface Exit {
  readonly seq: string;
  readonly lane: string;
  readonly name: string;
  readonly lasts: number;
}

/** Nanoseconds that a box lasts; of Perfetto's files speedscope has microseconds. */
const lasts = ({ from, to }: Box, unit: string): number =>
  Math.round((to - from) * (unit === 'microseconds' ? 1000 : 1));

/** How many things there are of a name, and how long they last together. */
function totals(things: readonly { readonly name: string; readonly lasts: number }[]) {
  const found: { [name: string]: { count: number; lasts: number } } = {};
  for (const { name, lasts: time } of things) {
    found[name] ??= { count: 0, lasts: 0 };
    found[name].count += 1;
    found[name].lasts += time;
  }
  return found;
}

describe('speedscope, in Chromium,', { skip }, () => {
  const folder = folderOf('speedscope');
  let browser: Browser;

  before(async () => {
    browser = await launch();
    for (const [name, file] of Object.entries(FIXTURES)) {
      assert.equal((await call('import', fixturePath(file), '-o', fileOf(name))).code, 0);
    }
  });
  after(async () => {
    await browser?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const fileOf = (name: string): string => join(folder, `${name}.arrow`);

  async function shown(name: keyof typeof FIXTURES, format: string) {
    const path = join(folder, `${name}.${format}`);
    const { code, err } = await call('export', fileOf(name), '-o', path, '--as', format);
    assert.equal(code, 0, err);
    return speedscope(browser, path);
  }

  /** Exits by lane, as query answers them. */
  async function exitsOf(name: keyof typeof FIXTURES): Promise<Map<string, Exit[]>> {
    const { code, out, err } = await call('query', fileOf(name), EXITS, '--json');
    assert.equal(code, 0, err);
    const lanes = new Map<string, Exit[]>();
    for (const exit of JSON.parse(out) as Exit[]) lanes.set(exit.lane, [...(lanes.get(exit.lane) ?? []), exit]);
    assert.ok(lanes.size > 0);
    return lanes;
  }

  for (const name of ['nested', 'lanes'] as const) {
    it(`finds each reason's exits and time in a file of its own format: ${FIXTURES[name]}`, async () => {
      const { profiles, said } = await shown(name, 'speedscope');
      assert.deepEqual(said, []);
      const lanes = await exitsOf(name);
      assert.deepEqual(profiles.map((profile) => profile.name).sort(), [...lanes.keys()].sort());
      for (const { name: lane, unit, boxes } of profiles) {
        assert.equal(unit, 'nanoseconds');
        const exits = boxes.filter((box) => /^L\d /.test(box.name));
        assert.deepEqual(
          totals(exits.map((box) => ({ name: box.name, lasts: lasts(box, unit) }))),
          totals(lanes.get(lane) ?? []),
        );
      }
    });
  }

  for (const name of ['nested', 'lanes'] as const) {
    it(`finds every exit, one by one, in a file for Perfetto: ${FIXTURES[name]}`, async () => {
      const { profiles, said } = await shown(name, 'perfetto');
      // It compares an end with its beginning by name and args, and says so where the name alone is the same.
      assert.deepEqual(
        said.filter((text) => !/Tried to end .* Ending .* instead\.$/.test(text)),
        [],
      );
      const lanes = await exitsOf(name);
      assert.equal(profiles.length, lanes.size);
      for (const { name: title, unit, boxes } of profiles) {
        assert.equal(unit, 'microseconds');
        // A frame is named `NAME {ARGS}`, a profile `PROCESS (pid N), THREAD (tid N)`.
        const lane = /^.*? \(pid \d+\), (.*) \(tid \d+\)$/.exec(title)?.[1] ?? '';
        const exits = boxes.map((box) => {
          const [, named, args] = /^(.*?) (\{.*\})$/.exec(box.name) ?? [];
          return { seq: Number(JSON.parse(args ?? '{}').seq), name: named, lasts: lasts(box, unit) };
        });
        assert.deepEqual(
          exits.sort((a, b) => a.seq - b.seq),
          (lanes.get(lane) ?? []).map(({ seq, name: named, lasts: time }) => ({
            seq: Number(seq),
            name: named,
            lasts: time,
          })),
        );
      }
    });
  }

  it('leaves no slice open that lasts no time, in a file for Perfetto', async (test) => {
    const events = [1000, 1500, 2000, 2000, 3000, 3500].map(
      (tick, i): EventDraft =>
        i % 2 === 0
          ? { kind: 'exit', isa: 1, from_level: 1, to_level: 0, reason: [18, 10, 12][i / 2] ?? 0, tick }
          : { kind: 'entry', isa: 1, from_level: 0, to_level: 1, tick },
    );
    const paper = new Paper();
    exportPerfetto(traceOf(test, events), paper);
    const path = join(folder, 'instant.json');
    writeFileSync(path, paper.text);
    const { profiles } = await speedscope(browser, path);
    const boxes = profiles[0]?.boxes.map((box) => [
      box.name.split(' {')[0],
      box.outer.length,
      lasts(box, 'microseconds'),
    ]);
    // What has no width is not in its picture.
    assert.deepEqual(boxes, [
      ['L1 VMCALL', 0, 500],
      ['L1 HLT', 0, 500],
    ]);
  });

  it('finds what each level and reason weighs in folded stacks, and all together', async () => {
    const { profiles, said } = await shown('nested', 'folded');
    assert.deepEqual(said, []);
    const sql = `select 'L' || level || ' ' || name as name, sum(handled) as time from exit where not failed group by 1`;
    const expected: { name: string; time: number }[] = JSON.parse(
      (await call('query', fileOf('nested'), sql, '--json')).out,
    );
    assert.deepEqual(
      profiles.map(({ unit, total }) => ({ unit, total })),
      [{ unit: 'none', total: expected.reduce((all, { time }) => all + time, 0) }],
    );
    const found: { [name: string]: number } = {};
    for (const { name, outer, from, to } of profiles[0]?.boxes ?? []) {
      if (outer.length !== 1) continue;
      const reason = `${outer[0]} ${name}`;
      found[reason] = (found[reason] ?? 0) + to - from;
    }
    assert.deepEqual(found, Object.fromEntries(expected.map(({ name, time }) => [name, time])));
  });
});
