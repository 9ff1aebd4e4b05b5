import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import Database from 'better-sqlite3';
import type { Browser, Locator, Page } from 'playwright-core';
import { bytesSource } from '../../analyzer/symbols/elf.js';
import { readSymbolFile } from '../../analyzer/symbols/file.js';
import { Symbols } from '../../analyzer/symbols/symbols.js';
import { serve } from '../../cli/serve.js';
import { EVENT_KINDS } from '../../engine/observer.js';
import { createTrace, openTrace } from '../../traces/open.js';
import type { TraceReader } from '../../traces/store.js';
import type { RunningServer } from '../../web/server/server.js';
import { launch, skip } from './browser.js';
import { writeSynthetic } from './synthetic.js';

const { exit: EXIT, entry_failed: FAILED } = EVENT_KINDS;
const WAIT = { timeout: 20_000 };
/** Names in a file of symbols have no blanks; everything else may be in them. */
const MARKUP = '<img/src=x/onerror=alert(1)>';
const digits = (text: string | null): number => Number((text ?? '').replace(/[^\d.-]/g, ''));

describe('profile, flame graph and comparison on the page, in Chromium', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-answers-'));
  const readers: TraceReader[] = [];
  const troubles: string[] = [];
  let server: RunningServer;
  let browser: Browser;
  let page: Page;
  let sql: Database.Database;

  const number = (query: string, ...values: number[]): number =>
    Number(
      sql
        .prepare<unknown[], unknown>(query)
        .pluck()
        .get(...values),
    );
  const shown = async (): Promise<{ shown: number; from: number; to: number }> => {
    await page.waitForTimeout(300);
    await page.locator('#answers[data-state="ready"]').waitFor({ ...WAIT, state: 'attached' });
    const of = page.locator('#status');
    const [count, from, to] = await Promise.all(['shown', 'from', 'to'].map((name) => of.getAttribute(`data-${name}`)));
    return { shown: Number(count), from: Number(from), to: Number(to) };
  };
  const row = (reason: string): Locator => page.locator(`#profile tbody tr[data-reason="${reason}"]`);
  const frame = (...path: string[]): Locator => page.locator(`#flame .frame[data-path="${path.join('\u001f')}"]`);

  before(async () => {
    const path = join(folder, 'left.sqlite');
    writeSynthetic(createTrace(path), { events: 6000, vcpus: 2, seed: 3, clock: 'engine' });
    writeSynthetic(createTrace(join(folder, 'right.sqlite')), { events: 6400, vcpus: 2, seed: 3, clock: 'engine' });
    writeSynthetic(createTrace(join(folder, 'host.arrow')), { events: 3000, vcpus: 1, seed: 8, clock: 'host' });
    sql = new Database(path, { readonly: true });
    for (const name of ['left.sqlite', 'right.sqlite', 'host.arrow']) readers.push(openTrace(join(folder, name)));
    const list = `ffff800000000000 T first\nffff800000000100 T ${MARKUP}\nffff800000000300 T last\n`;
    const file = readSymbolFile(bytesSource(new TextEncoder().encode(list)), `${MARKUP}.map`);
    const symbols = new Symbols([{ file, level: null, offset: 0n }]);
    server = await serve({ traces: readers, port: 0, report: (line) => troubles.push(line), symbols });
    browser = await launch();
    page = await (await browser.newContext({ viewport: { width: 1440, height: 1000 } })).newPage();
    page.on('pageerror', (error) => troubles.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') troubles.push(message.text());
    });
    page.on('dialog', (dialog) => {
      troubles.push(`dialog: ${dialog.message()}`);
      void dialog.dismiss();
    });
    await page.goto(server.url);
  });
  after(async () => {
    await browser?.close();
    await server?.close();
    sql?.close();
    for (const reader of readers) reader.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('opens on the whole trace', async () => {
    const { from, to } = await shown();
    assert.equal(from, number('SELECT min(tick) FROM event'));
    assert.equal(to, number('SELECT max(tick) + 1 FROM event'));
    assert.ok(await page.locator('#zoom-all').isDisabled());
  });

  it('shows the spread of a reason’s handler times, and its exits alone', async () => {
    await row('CPUID').first().locator('.fold').click();
    const bars = await page.locator('.histogram rect title').allTextContents();
    const counted = bars.reduce((sum, text) => sum + digits(text.split(':')[1] ?? ''), 0);
    const samples = digits(await row('CPUID').first().locator('td').nth(2).textContent());
    assert.ok(counted > 0 && counted <= samples);
    assert.match((await page.locator('.histogram').getAttribute('aria-label')) ?? '', /CPUID.*p50.*p99\.9/);
    await page.locator('#profile tr.more button').click();
    assert.equal(
      (await shown()).shown,
      number(`SELECT count(*) FROM event WHERE kind = ${FAILED} OR kind = ${EXIT} AND reason = 10`),
    );
    await page.keyboard.press('Escape');
    await row('CPUID').first().locator('.fold').click();
  });

  it('counts what is in view, when asked to', async () => {
    await page.locator('#scope button[data-scoped="true"]').click();
    for (const key of ['+', '+', 'ArrowRight']) await page.keyboard.press(key);
    await page.waitForTimeout(400);
    const { from, to } = await shown();
    const cells = await row('HLT').locator('td:nth-child(3)').allTextContents();
    const expected = number(
      `SELECT count(*) FROM event WHERE kind = ${EXIT} AND reason = 12 AND tick >= ? AND tick < ?`,
      Math.ceil(from),
      Math.ceil(to),
    );
    assert.equal(
      cells.reduce((sum, cell) => sum + digits(cell), 0),
      expected,
    );
    await page.keyboard.press('0');
    await page.locator('#scope button[data-scoped="false"]').click();
  });

  it('draws a flame graph whose frames filter the timeline, by mouse and by keyboard', async () => {
    await page.locator('#tab-flame').click();
    await frame('L2').waitFor(WAIT);
    await frame('L2').click();
    const inL2 = number(`SELECT count(*) FROM event WHERE kind = ${FAILED} OR kind = ${EXIT} AND from_level = 2`);
    assert.equal((await shown()).shown, inL2);
    assert.match(new URL(page.url()).hash, /stack=L2/);
    await page.locator('#flame .frame[tabindex="0"]').focus();
    await page.keyboard.press('ArrowDown');
    const path = ((await page.locator('#flame .frame:focus').getAttribute('data-path')) ?? '').split('\u001f');
    assert.equal(path.length, 2);
    await page.keyboard.press('Enter');
    const { shown: ofFunction } = await shown();
    assert.ok(ofFunction > 0 && ofFunction < inL2);
    assert.equal(await page.locator('#stack').innerText(), `${path.join(' › ')} ×`);
    await page.keyboard.press('Escape');
    assert.equal((await shown()).shown, number(`SELECT count(*) FROM event WHERE kind IN (${EXIT}, ${FAILED})`));
  });

  it('shows names of a file of symbols as text', async () => {
    await frame('L1', MARKUP).first().waitFor(WAIT);
    assert.match((await frame('L1', MARKUP).getAttribute('title')) ?? '', /onerror/);
    assert.equal(await page.locator('img').count(), 1, 'the only image is the page’s own');
    const exits = digits(
      ((await frame('L1', MARKUP).getAttribute('aria-label')) ?? '').split(':')[1]?.split('exit')[0] ?? '',
    );
    const [low, high] = [-0x8000_0000_0000n + 0x100n, -0x8000_0000_0000n + 0x300n];
    const query = `SELECT count(*) FROM event WHERE kind = ${EXIT} AND from_level = 1 AND rip >= ${low} AND rip < ${high}`;
    assert.equal(exits, number(query));
    await page.locator('#tab-profile').click();
    assert.ok((await page.locator('#profile .symbol').allTextContents()).some((name) => name.startsWith(MARKUP)));
  });

  it('compares two traces, and leads to where they part', async () => {
    await page.locator('#tab-compare').click();
    await page.locator('#compare .divergence').waitFor(WAIT);
    const changed = digits(
      await page.locator('#compare tr[data-reason="CPUID"] td:nth-child(3)').first().textContent(),
    );
    assert.ok(changed > 0);
    await page.locator('#compare .links button').nth(1).click();
    await page.locator('#detail[data-seq]').waitFor(WAIT);
    assert.equal(await page.locator('#trace').inputValue(), 'right.sqlite');
    assert.ok(
      Number(await page.locator('#detail').getAttribute('data-seq')) >= 5000,
      'the longer one goes on where the other ends',
    );
  });

  it('tells times from the start, and those of the host’s clock', async () => {
    await page.locator('#trace').selectOption('host.arrow');
    await page.locator('#axis button[data-axis="time"]').waitFor(WAIT);
    await shown();
    await page.locator('#axis-name').click();
    await page.waitForTimeout(200);
    const labels = await page.locator('#ruler text').allTextContents();
    assert.ok(labels.length > 1 && labels.every((text) => /^17000000\d\d\.\d+/.test(text)), labels.join(', '));
    assert.match(page.url(), /clock=host/);
  });

  it('moves between tabs by arrow keys, and every control says what it is', async () => {
    await page.locator('#tab-profile').focus();
    await page.keyboard.press('ArrowRight');
    assert.equal(await page.locator('#tabs [aria-selected="true"]').innerText(), 'Flame graph');
    const nameless = await page.locator('button:visible, select:visible, input:visible').evaluateAll(
      (controls) =>
        controls.filter((each) => {
          const name = each.getAttribute('aria-label') ?? each.getAttribute('title') ?? each.textContent ?? '';
          return name.trim() === '' && each.closest('label') === null;
        }).length,
    );
    assert.equal(nameless, 0);
    assert.match((await page.locator('#canvas').getAttribute('aria-label')) ?? '', /in view/);
  });

  it('opens the list of keys, and Escape closes it and nothing else', async () => {
    await page.locator('#canvas').focus();
    await page.keyboard.press('n');
    await page.locator('#detail[data-seq]').waitFor(WAIT);
    await page.keyboard.press('?');
    await page.locator('#keys').waitFor(WAIT);
    await page.keyboard.press('Escape');
    await page.locator('#keys').waitFor({ ...WAIT, state: 'hidden' });
    assert.equal(await page.locator('#detail[data-seq]').count(), 1);
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('#detail[data-seq]').count(), 0);
  });

  it('had no error, warning or dialog', () => {
    assert.deepEqual(troubles, []);
  });
});
