/** The panel that compares two traces of a host, in Chromium. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { call } from '../cli/process.js';
import { skip } from './browser.js';
import { EXITS, earlier, later, servedPanels, texts } from './panels.js';

const median = (times: readonly number[]): number =>
  [...times].sort((a, b) => a - b)[Math.ceil(times.length / 2) - 1] ?? Number.NaN;
const sum = (times: readonly number[]): number => times.reduce((total, time) => total + time, 0);

describe('panels that compare host traces, in Chromium', { skip }, () => {
  const { open, place, troubles } = servedPanels();

  it('say what slowed and what got faster, by how much, and what that costs', async () => {
    const page = await open('#trace=before.arrow&panel=compare&with=after.arrow');
    assert.deepEqual(await texts(page, '#compare h2'), ['What slowed', 'What got faster', 'Exits by reason']);
    const rows = await texts(page, '#compare .shifts tr[data-reason]');
    assert.equal(rows.length, 2, 'the reason that did not change is not told');
    for (const [reason, slower] of [
      ['MSR_READ', true],
      ['CPUID', false],
    ] as const) {
      const row = `#compare .shifts tr[data-reason="${reason}"][data-slower="${slower}"] td`;
      const cells = await texts(page, row);
      const [was, is] = [earlier.times[reason], later.times[reason]];
      assert.equal(cells[2], String(EXITS));
      const change = Math.round((100 * median(is)) / median(was) - 100);
      const percent = `${change < 0 ? '−' : '+'}${Math.abs(change)} %`;
      assert.equal(cells[4], `${median(was)} µs → ${median(is)} µs ${percent}`);
      const cost = /^([+−])([\d.]+) ms$/.exec(cells[7] ?? '');
      assert.equal(cost?.[1], slower ? '+' : '−', cells[7]);
      assert.ok(Math.abs(Number(cost?.[2]) - Math.abs(sum(is) - sum(was)) / 1000) < 0.01, cells[7]);
    }
    await page.locator('#compare button[aria-label="The other way round"]').click();
    await page.locator('#compare .shifts tr[data-reason="CPUID"][data-slower="true"]').waitFor();
    assert.equal(await page.locator('#trace').inputValue(), 'after.arrow');
    await page.context().close();
  });

  it('say of a trace that lost events what was slower and faster of the exits that were timed', async () => {
    const page = await open('#trace=before.arrow&panel=compare&with=lossy.arrow');
    const heads = ['Slower of the exits that were timed', 'Faster of the exits that were timed', 'Exits by reason'];
    assert.deepEqual(await texts(page, '#compare h2'), heads);
    const [, doubt] = await texts(page, '#compare .told');
    assert.equal(doubt, '?: the times that are missing may explain it.');
    const cells = await texts(page, '#compare .shifts tr[data-reason="MSR_READ"] td');
    assert.match(cells[4] ?? '', /µs → .*%\?$/);
    await page.context().close();
  });

  it('say what ? means where a mark is to be seen', async () => {
    for (const other of ['lossy', 'gap', 'after']) {
      for (const width of [1280, 700, 420]) {
        const page = await open(`#trace=before.arrow&panel=compare&with=${other}.arrow`, {
          viewport: { width, height: 900 },
        });
        const marks = page.locator('#compare .shifts small:visible', { hasText: '?' });
        const notes = page.locator('#compare .told:visible', { hasText: /^\?: / });
        const seen = (await marks.count()) > 0;
        assert.equal(await notes.count(), seen ? 1 : 0, `${other} at ${width}`);
        // few of its times are missing, so that only means have marks
        assert.equal(seen, other === 'lossy' || (other === 'gap' && width > 420));
        await page.context().close();
      }
    }
  });

  it('say what the command line says of what is missing', async () => {
    for (const [left, right, facts] of [
      ['before', 'hole', /320 exits alike, 40 vanished or not recorded/],
      ['hole', 'before', /320 exits alike, 40 appeared or not recorded before/],
      ['before', 'after', /360 exits alike/],
      ['before', 'entries', null],
      ['before', 'threads', null],
      ['before', 'lossy', /360 exits alike/],
    ] as const) {
      const files = [left, right].map((name) => `${name}.arrow`);
      const { out } = await call('diff', ...files.map(place));
      const { remarks, undecided, same } = JSON.parse((await call('diff', ...files.map(place), '--json')).out);
      const page = await open(`#trace=${files[0]}&panel=compare&with=${files[1]}`);
      const said = (await texts(page, '#compare')).join(' ');
      const of = `${left} ${right}`;
      if (facts !== null) {
        const found = facts.exec(out)?.[0] ?? assert.fail(`${of}: ${out}`);
        assert.ok(said.includes(found.replace(', ', ' · ')), `${of}: ${said}`);
      }
      for (const remark of remarks) assert.ok(said.includes(remark), `${of}: ${said}`);
      const verdict = undecided?.replace(/\S*\/(?=\w+\.arrow)/g, '');
      assert.equal(/UNDECIDED/.test(said), undecided !== null, of);
      if (undecided !== null) assert.ok(said.includes(`UNDECIDED whether the exits are the same: ${verdict}`), said);
      assert.equal(/are the same, one by one/.test(said), same && undecided === null, of);
      await page.context().close();
    }
  });

  it('say where times did not change, and where there are too few of them to tell', async () => {
    for (const [other, says] of [
      ['more.arrow', 'Handler times differ no more than by chance.'],
      ['threads.arrow', 'There are too few exits to tell whether handler times changed.'],
    ] as const) {
      const page = await open(`#trace=before.arrow&panel=compare&with=${other}`);
      assert.deepEqual(await texts(page, '#compare .told'), [says]);
      await page.context().close();
    }
  });

  it('leave reasons out of what is aligned, and say so', async () => {
    const page = await open('#trace=before.arrow&panel=compare&with=more.arrow');
    const facts = async (): Promise<string> => (await texts(page, '#compare .facts > p'))[0] ?? '';
    assert.match(await facts(), /^360 exits alike · 1 appeared · in 1 place · matched by /);
    await page.locator('#compare summary').click();
    await page.locator('#compare .choice input[value="EXTERNAL_INTERRUPT"]').check();
    await page.locator('#compare .same').waitFor();
    assert.match(await facts(), /^360 exits alike · matched by .* · without EXTERNAL_INTERRUPT$/);
    assert.deepEqual((await texts(page, '#compare tr[data-reason="EXTERNAL_INTERRUPT"] td')).slice(2, 5), [
      '0',
      '1',
      '+1',
    ]);
    assert.equal(await page.locator('#compare .choice[open]').count(), 1, 'the menu stays open for another one');
    await page.waitForTimeout(300);
    await page.reload();
    await page.locator('#compare .same').waitFor();
    await page.locator('#compare summary').click();
    await page.keyboard.press('Escape');
    assert.equal(await page.locator('#compare .choice[open]').count(), 0);
    await page.context().close();
  });

  it('show a reason of the comparison alone on the timeline', async () => {
    const page = await open('#trace=before.arrow&panel=compare&with=after.arrow');
    const name = page.locator('#compare table:last-child tr[data-reason="CPUID"] button');
    await name.click();
    await page.locator(`#status[data-shown="${EXITS}"]`).waitFor();
    assert.equal(await name.getAttribute('aria-pressed'), 'true');
    await name.click();
    await page.locator(`#status[data-shown="${3 * EXITS}"]`).waitFor();
    await page.context().close();
  });

  it('had no error or warning', () => {
    assert.deepEqual(troubles, []);
  });
});
