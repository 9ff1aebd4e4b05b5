/** The panels below the timeline, in Chromium, with traces of a host whose handler times are known from outside. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ProfileTable } from '../../analyzer/timeline-answers.js';
import { skip } from './browser.js';
import { EXITS, plain, ready, servedPanels, texts } from './panels.js';

describe('panels of host traces, in Chromium', { skip }, () => {
  const { open, troubles, url } = servedPanels();

  it('tell how much of the time each vCPU was outside its guest, of the whole and of what is in view', async () => {
    // 50 exits a vCPU, each 2 µs until its entry, and 49 times 2 µs from an entry to the next exit; every other one is HLT
    const page = await open('#trace=sparse.arrow');
    assert.match((await texts(page, '#profile .facts'))[0] ?? '', /51 % of the observed time outside the guest/);
    assert.deepEqual(await texts(page, '#profile h2'), ['Hottest instructions', 'Time outside the guest, by vCPU']);
    const cells = async (): Promise<string[][]> =>
      Promise.all([1, 2].map((row) => texts(page, `#profile .spent tbody tr:nth-child(${row}) td`)));
    assert.deepEqual(await cells(), [
      ['vCPU 0, CPU 0/KVM-7000', '50', '198 µs', '100 µs', '51', '50 µs', '900 ms'],
      ['vCPU 0, CPU 1/KVM-7001', '50', '198 µs', '100 µs', '51', '50 µs', '500 ms'],
    ]);
    // from 1 µs before the last of 100 events of vCPU 0: it is in its guest until the exit, and outside for 2 µs
    const inView = `axis=time&from=${500_000_000 + 195_000}&to=${500_000_000 + 199_000}`;
    const answer = await fetch(`${url()}api/traces/4/profile?${inView}&vcpu=0`);
    const { time } = (await answer.json()) as ProfileTable;
    assert.deepEqual(time, { guest: 1000, outside: 2000 });
    const one = await open('#trace=sparse.arrow&vcpu=0&of=view');
    assert.match((await texts(one, '#profile .facts'))[0] ?? '', /^50 exits .* 51 % of the observed time/);
    assert.equal(await one.locator('#profile .spent').count(), 0);
    await one.locator('#tab-flame').click();
    await one.locator('#flame .frame').first().waitFor();
    const about = async (): Promise<string[]> => texts(one, '#flame .facts > p');
    assert.deepEqual(await about(), ['in view · handler time, whole where it ends beyond the view']);
    await one.locator('#flame [data-weight="exits"]').click();
    assert.deepEqual(await about(), ['in view']);
    const inside = `axis=time&from=${500_000_000 + 194_200}&to=${500_000_000 + 195_800}`;
    const guest = await open(`#trace=sparse.arrow&${inside}&vcpu=0&of=view`);
    assert.deepEqual(await texts(guest, '#profile .facts'), [
      'No exit begins in view · 0 % of the observed time outside the guest',
    ]);
    assert.equal(await guest.locator('#profile table').count(), 0);
    for (const each of [page, one, guest]) await each.context().close();
  });

  it('say that a trace has no times, and give none', async () => {
    const page = await open('#trace=timeless.arrow');
    assert.match((await texts(page, '#profile .facts'))[0] ?? '', /no times in this trace/);
    assert.deepEqual((await texts(page, '#profile tr[data-reason="CPUID"] td')).slice(5), Array(6).fill('–'));
    assert.equal((await texts(page, '#profile .rips tbody td:last-child'))[0], '–');
    await page.locator('#tab-flame').click();
    await page.locator('#flame .frame').first().waitFor();
    assert.equal(
      await page.locator('#flame .frame').first().getAttribute('aria-label').then(String).then(plain),
      `all: ${3 * EXITS} exits, 100 %`,
    );
    await page.locator('#tab-compare').click();
    await ready(page);
    assert.equal(await page.locator('#compare .shifts').count(), 0);
    await page.context().close();
  });

  it('say that a trace of the address is not served, and do not take the rest of the address for another', async () => {
    const page = await open('#trace=elsewhere.arrow&kind=entry&from=5&to=9');
    assert.equal(
      await page.locator('#notice').innerText(),
      'No trace named elsewhere.arrow is served. This is before.arrow.',
    );
    assert.equal(await page.locator('#status').getAttribute('data-shown'), String(3 * EXITS));
    await page.locator('#trace').selectOption('after.arrow');
    await page.locator('#notice').waitFor({ state: 'hidden' });
    await page.goto(`${url()}#trace=before.arrow&panel=compare&with=gone.arrow`);
    await page.locator('#notice', { hasText: 'No trace named gone.arrow is served.' }).waitFor();
    await page.context().close();
  });

  it('had no error or warning', () => {
    assert.deepEqual(troubles, []);
  });
});
