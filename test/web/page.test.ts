import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { serve } from '../../cli/serve.js';
import { EVENT_KINDS } from '../../engine/observer.js';
import { createTrace, openTrace } from '../../traces/open.js';
import type { TraceReader } from '../../traces/store.js';
import type { RunningServer } from '../../web/server/server.js';
import { launch, skip } from './browser.js';
import { writeSynthetic } from './synthetic.js';

const EVENTS = 1_000_000;
const HOSTILE = '<img src=x onerror=alert(1)>.arrow';
const { exit: EXIT, entry_failed: FAILED, lost: LOST } = EVENT_KINDS;
const WAIT = { timeout: 30_000 };

/** Expressions that the browser evaluates; as text, for the DOM is none of this program's libraries. */
const IN_PAGE = {
  fingerprint: `location.hash + JSON.stringify(document.querySelector('#status').dataset) + document.querySelector('#detail').dataset.seq`,
  seen: `(() => {
    const { shown, from, to, detail } = document.querySelector('#status').dataset;
    const chips = [...document.querySelectorAll('#legend button')].map(({ dataset }) =>
      [dataset.name + (dataset.failure === 'true' ? ' failed' : ''), Number(dataset.count)]);
    return { shown: Number(shown), from: Number(from), to: Number(to), detail, legend: Object.fromEntries(chips) };
  })()`,
  overflow: 'document.documentElement.scrollWidth - document.documentElement.clientWidth',
  /** Milliseconds between 90 frames. */
  frames: `new Promise((resolve) => {
    const times = [];
    const tick = (now) => {
      times.push(now);
      if (times.length < 90) requestAnimationFrame(tick);
      else resolve(times.slice(1).map((time, i) => time - times[i]));
    };
    requestAnimationFrame(tick);
  })`,
} as const;

const digits = (text: string): number => Number(text.replace(/[^\d.-]/g, ''));

describe('page of a million events, in Chromium', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-page-'));
  const readers: TraceReader[] = [];
  const troubles: string[] = [];
  let server: RunningServer;
  let browser: Browser;
  let page: Page;
  let sql: Database.Database;

  const rows = (query: string, ...values: (number | string)[]): { [column: string]: unknown }[] =>
    sql.prepare<unknown[], { [column: string]: unknown }>(query).all(...values);
  const number = (query: string, ...values: number[]): number =>
    Number(Object.values(rows(query, ...values)[0] ?? { n: Number.NaN })[0]);

  async function open(
    hash: string,
    options: BrowserContextOptions = { viewport: { width: 1440, height: 900 } },
  ): Promise<Page> {
    const context = await browser.newContext(options);
    const opened = await context.newPage();
    opened.on('pageerror', (error) => troubles.push(error.message));
    opened.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') troubles.push(message.text());
    });
    opened.on('dialog', (dialog) => {
      troubles.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await opened.goto(server.url + hash);
    await settled(opened);
    return opened;
  }

  /** Waits until the page has an answer for the viewport that its address names. */
  async function settled(of: Page = page): Promise<void> {
    const states = ['ready', 'empty', 'error'].map((state) => `#timeline[data-state="${state}"]`);
    await of.locator(states.join(', ')).waitFor({ ...WAIT, state: 'attached' });
    const empty = await of.locator('#timeline[data-state="empty"]').count();
    if (empty === 0) await of.locator('#answers[data-state="ready"]').waitFor({ ...WAIT, state: 'attached' });
    let before = '';
    for (;;) {
      const now = await of.evaluate<string>(IN_PAGE.fingerprint);
      if (now === before && !(await of.locator('#canvas.waiting').count())) return;
      before = now;
      await of.waitForTimeout(260);
    }
  }

  interface Seen {
    readonly shown: number;
    readonly from: number;
    readonly to: number;
    readonly detail: string;
    /** Counts of the legend by name. */
    readonly legend: { readonly [name: string]: number };
  }
  const seen = (of: Page = page): Promise<Seen> => of.evaluate<Seen>(IN_PAGE.seen);

  /** Counts by reason of what lies in the viewport, by SQL; `where` narrows them. */
  function counted({ from, to }: { from: number; to: number }, where = '1'): { [name: string]: number } {
    const counts: { [name: string]: number } = {};
    const query = `SELECT d.name || CASE kind WHEN ${FAILED} THEN ' failed' ELSE '' END AS name, count(*) AS n FROM event
      JOIN dictionary d ON d.domain = 'reason.vmx' AND d.code = (reason & 65535)
      WHERE kind IN (${EXIT}, ${FAILED}) AND tick >= ? AND tick < ? AND (${where}) GROUP BY 1`;
    for (const { name, n } of rows(query, Math.ceil(from), Math.ceil(to))) counts[String(name)] = Number(n);
    return counts;
  }
  const nonzero = (counts: { readonly [name: string]: number }): { [name: string]: number } =>
    Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
  const sum = (counts: { readonly [name: string]: number }): number =>
    Object.values(counts).reduce((total, count) => total + count, 0);

  async function agrees(where = '1'): Promise<Seen> {
    await settled();
    const now = await seen();
    const expected = counted(now, where);
    assert.deepEqual(nonzero(now.legend), expected);
    assert.equal(now.shown, sum(expected));
    return now;
  }

  before(async () => {
    const path = join(folder, 'million.sqlite');
    writeSynthetic(createTrace(path), { events: EVENTS, vcpus: 2, seed: 9, clock: 'engine' });
    writeSynthetic(createTrace(join(folder, 'small.arrow')), { events: 20_000, vcpus: 16, seed: 4, clock: 'host' });
    createTrace(join(folder, 'nothing.arrow')).finish();
    const hostile = createTrace(join(folder, HOSTILE));
    const markup = '<img src=x onerror="alert(1)">';
    for (const [domain, code] of [
      ['reason.vmx', 10],
      ['vcpu', 0],
      ['kind', 1],
    ] as const)
      hostile.define(domain, code, markup);
    hostile.setRun('source', markup);
    hostile
      .table('event')
      .row({ seq: 0, tick: 1, vcpu: 0, kind: EXIT, isa: 1, from_level: 1, to_level: 0, reason: 10, text: markup });
    hostile.finish();
    for (const name of ['million.sqlite', 'small.arrow', 'nothing.arrow', HOSTILE])
      readers.push(openTrace(join(folder, name)));
    sql = new Database(path, { readonly: true });
    server = await serve({ traces: readers, port: 0, report: (line) => troubles.push(line) });
    browser = await launch();
    page = await open('');
  });
  after(async () => {
    await browser?.close();
    await server?.close();
    sql?.close();
    for (const reader of readers) reader.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('counts every exit of the trace', async () => {
    const { shown, detail } = await agrees();
    assert.equal(detail, 'bins');
    assert.equal(shown, number(`SELECT count(*) FROM event WHERE kind IN (${EXIT}, ${FAILED})`));
    assert.ok(number(`SELECT count(*) FROM event WHERE kind = ${LOST}`) > 0);
    const profile = await page.locator('#profile tbody tr[data-reason="HLT"] td:nth-child(3)').allTextContents();
    const halts = number(`SELECT count(*) FROM event WHERE kind = ${EXIT} AND reason = 12`);
    assert.equal(
      profile.reduce((total, cell) => total + digits(cell), 0),
      halts,
    );
  });

  it('tells the counts of a bin under the pointer', async () => {
    const canvas = await page.locator('#canvas').boundingBox();
    assert.ok(canvas !== null);
    const lanes = await page.locator('.lane').count();
    assert.equal(lanes, 4, 'two vCPUs with two levels each');
    let told = 0;
    for (const [share, lane] of [
      [0.1, 0],
      [0.31, 1],
      [0.5, 2],
      [0.77, 3],
      [0.93, 0],
    ] as const) {
      const y = canvas.y + (canvas.height / lanes) * (lane + 0.8);
      await page.mouse.move(canvas.x + canvas.width * share, y);
      await page.waitForTimeout(100);
      const [head = '', ...lines] = await page.locator('#tip > p, #tip dt, #tip dd').allTextContents();
      const [from = 0, to = 0] = head.split('–').map(digits);
      const counts: { [name: string]: number } = {};
      for (let i = 0; i + 1 < lines.length; i += 2) {
        if (lines[i]?.startsWith('Gap')) break;
        counts[(lines[i] ?? '').replace('(failed)', 'failed')] = digits(lines[i + 1] ?? '');
      }
      const level = 1 + (lane % 2);
      const expected = counted({ from, to }, `vcpu = ${Math.floor(lane / 2)} AND from_level = ${level}`);
      assert.ok(to > from && sum(expected) > 0, head);
      const most = Object.entries(expected).sort((a, b) => b[1] - a[1]);
      assert.equal(Object.keys(counts).filter((name) => !name.startsWith('and ')).length, Math.min(10, most.length));
      for (const [name, count] of Object.entries(counts)) {
        if (!name.startsWith('and ')) assert.equal(count, expected[name], `${name} in ${head}`);
      }
      told++;
    }
    assert.equal(told, 5);
  });

  it('zooms and pans by key and wheel, and counts what is then in view', async () => {
    const whole = await seen();
    for (const key of ['+', '+', 'ArrowRight', 'ArrowRight', '=', 'ArrowLeft']) {
      await page.keyboard.press(key);
      await page.waitForTimeout(40);
    }
    const zoomed = await agrees();
    assert.ok(Math.abs((zoomed.to - zoomed.from) * 8 - (whole.to - whole.from)) < 16);
    await page.mouse.move(700, 300);
    for (let i = 0; i < 8; i++) await page.mouse.wheel(0, -240);
    const wheeled = await agrees();
    assert.ok(wheeled.to - wheeled.from < (zoomed.to - zoomed.from) / 2);
    await page.mouse.down();
    await page.mouse.move(500, 300, { steps: 5 });
    await page.mouse.up();
    const dragged = await agrees();
    assert.ok(dragged.from > wheeled.from, 'dragging to the left brings what is later');
    await page.keyboard.press('-');
    await agrees();
  });

  it('filters by reason, vCPU, level and text', async () => {
    await page.keyboard.press('Escape');
    await page.locator('#legend button[data-name="CPUID"]').click();
    await page.locator('#legend button[data-name="HLT"]').click();
    await agrees(`kind = ${FAILED} OR reason IN (10, 12)`);
    await page.locator('#choices details[data-menu="vCPUs"] summary').click();
    await page.locator('#choices details[data-menu="vCPUs"] input[value="1"]').check();
    await agrees(`vcpu = 1 AND (kind = ${FAILED} OR reason IN (10, 12))`);
    await page.locator('#choices details[data-menu="Levels"] summary').click();
    await page.locator('#choices details[data-menu="Levels"] input[value="2"]').check();
    await agrees(`vcpu = 1 AND from_level = 2 AND (kind = ${FAILED} OR reason IN (10, 12))`);
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await agrees();
    await page.keyboard.press('/');
    await page.keyboard.type('gpa:0xfe003000');
    await page.waitForTimeout(400);
    const { shown } = await agrees(`kind = ${FAILED} OR gpa = ${0xfe00_3000}`);
    assert.ok(shown > 0);
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await agrees();
  });

  it('steps through events and failures, and shows what the trace says of each', async () => {
    await page.keyboard.press('0');
    const { from, to } = await agrees();
    const shownSeq = async (): Promise<number> => {
      await settled();
      return Number(await page.locator('#detail').getAttribute('data-seq'));
    };
    await page.keyboard.press('n');
    const first = await shownSeq();
    const inView = `kind IN (${EXIT}, ${FAILED}) AND tick >= ? AND tick < ?`;
    assert.equal(first, number(`SELECT min(seq) FROM event WHERE ${inView}`, Math.ceil(from), Math.ceil(to)));
    for (let i = 0; i < 5; i++) await page.keyboard.press('n');
    const sixth = await shownSeq();
    const next = rows(
      `SELECT seq FROM event WHERE kind IN (${EXIT}, ${FAILED}) AND seq > ? ORDER BY seq LIMIT 5`,
      first,
    );
    assert.equal(sixth, next.at(-1)?.seq);
    await page.keyboard.press('p');
    assert.equal(await shownSeq(), next.at(-2)?.seq);
    await page.keyboard.press('f');
    const failed = await shownSeq();
    assert.equal(failed, number(`SELECT min(seq) FROM event WHERE kind = ${FAILED} AND seq > ?`, sixth - 1));
    await page.keyboard.press('z');
    await page.keyboard.press('n');
    const seq = await shownSeq();
    const [row] = rows("SELECT tick, printf('0x%x', rip) AS rip, hex(bytes) AS bytes FROM event WHERE seq = ?", seq);
    const panel = (await page.locator('#detail').innerText()).replace(/[\s\u202f]+/g, ' ');
    assert.ok(panel.includes(String(row?.rip)), panel);
    const [event] = rows('SELECT parent FROM event WHERE seq = ?', seq);
    if (event?.parent !== null) assert.match(panel, /serves/i);
  });

  it('shows events one by one when few are in view, and takes a click', async () => {
    await page.keyboard.press('z');
    const { from, to, detail } = await agrees();
    assert.equal(detail, 'events');
    const [target] = rows(
      `SELECT seq, tick FROM event e WHERE kind = ${EXIT} AND vcpu = 0 AND from_level = 1 AND tick > ? AND tick < ? ORDER BY tick LIMIT 1 OFFSET 0`,
      Math.ceil(from + (to - from) * 0.1),
      Math.floor(to),
    );
    if (target === undefined) return assert.fail('no event of that lane is in view');
    const canvas = await page.locator('#canvas').boundingBox();
    assert.ok(canvas !== null);
    const x = canvas.x + ((Number(target.tick) - from) / (to - from)) * canvas.width + 1;
    await page.mouse.click(x, canvas.y + canvas.height / 8);
    await settled();
    assert.equal(Number(await page.locator('#detail').getAttribute('data-seq')), target.seq);
    await page.locator('#detail button[aria-label="Close"]').click();
    assert.equal(await page.locator('#detail').getAttribute('data-seq'), null);
  });

  it('brings back a view from its address, reloaded or shared', async () => {
    await page.keyboard.press('0');
    for (const key of ['+', '+', '+', 'ArrowRight', 'n', 'n']) await page.keyboard.press(key);
    await page.locator('#legend button[data-name="IO_INSTRUCTION"]').click();
    const was = await agrees(`kind = ${FAILED} OR reason = 30`);
    const seq = await page.locator('#detail').getAttribute('data-seq');
    assert.notEqual(seq, null);
    const address = page.url();
    await page.reload();
    await settled();
    assert.deepEqual(await seen(), was);
    assert.equal(await page.locator('#detail').getAttribute('data-seq'), seq);
    const other = await open(new URL(address).hash, { viewport: { width: 1024, height: 768 } });
    const { shown, from, to, legend } = await seen(other);
    assert.deepEqual({ shown, from, to, legend }, { shown: was.shown, from: was.from, to: was.to, legend: was.legend });
    await other.context().close();
  });

  it('shows the same events by their sequence', async () => {
    await page.locator('#axis button[data-axis="seq"]').click();
    await settled();
    const { from, to, shown } = await seen();
    const where = `(kind = ${FAILED} OR (kind = ${EXIT} AND reason = 30)) AND seq >= ? AND seq < ?`;
    assert.equal(shown, number(`SELECT count(*) FROM event WHERE ${where}`, Math.ceil(from), Math.ceil(to)));
  });

  it('shows names of a hostile trace as text, and says when there is nothing to show', async () => {
    await page.locator('#trace').selectOption(HOSTILE);
    await settled();
    await page.keyboard.press('n');
    await settled();
    assert.equal(await page.locator('img').count(), 1, 'the only image is the page’s own');
    assert.ok((await page.locator('.lane').first().innerText()).includes('<img src=x'));
    assert.ok((await page.locator('#detail').innerText()).includes('<img src=x'));
    await page.locator('#trace').selectOption('nothing.arrow');
    await settled();
    assert.match(await page.locator('#message').innerText(), /no events/);
  });

  it('fits a small screen, light and dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const [width, height] of [
        [390, 844],
        [1024, 768],
        [1440, 900],
      ] as const) {
        const small = await open('#trace=small.arrow&event=5', { viewport: { width, height }, colorScheme });
        assert.equal(await small.locator('html').getAttribute('data-theme'), colorScheme);
        const over = await small.evaluate<number>(IN_PAGE.overflow);
        assert.equal(over, 0, `${width} wide`);
        assert.ok(((await small.locator('#canvas').boundingBox())?.height ?? 0) > 100);
        await small.context().close();
      }
    }
  });

  it('zooms and pans smoothly', async (t) => {
    await page.locator('#trace').selectOption('million.sqlite');
    await settled();
    await page.mouse.move(800, 300);
    const frames = page.evaluate<number[]>(IN_PAGE.frames);
    for (let i = 0; i < 20; i++) {
      await page.mouse.wheel(0, i < 12 ? -120 : 120);
      await page.waitForTimeout(30);
    }
    await page.mouse.down();
    for (let i = 0; i < 20; i++) {
      await page.mouse.move(800 - 25 * i, 300);
      await page.waitForTimeout(16);
    }
    await page.mouse.up();
    const sorted = (await frames).sort((a, b) => a - b);
    const at = (share: number): string => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1);
    t.diagnostic(
      `frames while zooming and panning over a million events, software rendering: p50 ${at(0.5)} ms, p95 ${at(0.95)} ms`,
    );
    await agrees();
  });

  it('had no error, warning or dialog', () => {
    assert.deepEqual(troubles, []);
  });
});
