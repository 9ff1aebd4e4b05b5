/** Where the panels of a host's traces stand and what they look like, at any width and on paper, in Chromium. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { skip } from './browser.js';
import { servedPanels, texts } from './panels.js';

describe('looks of panels of host traces, in Chromium', { skip }, () => {
  const { open, troubles } = servedPanels();

  it('have room for their tables at any width', async () => {
    for (const width of [360, 768, 1024, 1280, 1920]) {
      for (const hash of ['#trace=before.arrow', '#trace=before.arrow&panel=compare&with=after.arrow']) {
        const page = await open(hash, { viewport: { width, height: 900 } });
        const over = await page.evaluate<number>(
          `(() => { const box = document.querySelector('#answers'); return box.scrollWidth - box.clientWidth; })()`,
        );
        assert.equal(over, 0, `${hash} at ${width}`);
        await page.context().close();
      }
    }
  });

  it('are below a timeline on which no hint lies, and a line above it that can be read to its end', async () => {
    for (const width of [390, 800, 1024, 1400]) {
      const page = await open('#trace=sparse.arrow', { viewport: { width, height: 700 } });
      await page.locator('#hint', { hasText: 'Zoom in there' }).waitFor();
      const [lanes, hint] = await Promise.all(
        ['#scroll', '#hint'].map(async (place) => (await page.locator(place).boundingBox()) ?? assert.fail(place)),
      );
      assert.ok(hint !== undefined && lanes !== undefined && hint.y >= lanes.y + lanes.height, `hint at ${width}`);
      await page.locator('#hint button').first().click();
      await page.locator('#hint').waitFor({ state: 'hidden' });
      for (const [filter, shown] of [
        ['', '100 in view'],
        ['CPUID', '50 in view'],
        ['nowhere', 'Nothing passes the filter: kind exit and “nowhere”'],
      ] as const) {
        await page.locator('#text').fill(filter);
        await page.locator('#status', { hasText: shown }).waitFor();
        const cut = await page.evaluate<boolean>(
          "(({ scrollWidth, clientWidth, scrollHeight, clientHeight }) => scrollWidth > clientWidth || scrollHeight > clientHeight)(document.querySelector('#status'))",
        );
        assert.ok(!cut, `status at ${width}`);
      }
      await page.context().close();
    }
  });

  it('are below lanes whose names can be read to their end', async () => {
    const page = await open('#trace=threads.arrow', { viewport: { width: 1280, height: 900 } });
    const names = await texts(page, '.lane small');
    assert.deepEqual(names, ['CPU 0/KVM-4713', 'CPU 1/KVM-4714', 'CPU 0/KVM-5713', 'CPU 1/KVM-5714']);
    const cut = await page.evaluate<number>(
      "[...document.querySelectorAll('.lane small')].filter((name) => name.scrollHeight > name.clientHeight + 1 || name.scrollWidth > name.clientWidth).length",
    );
    assert.equal(cut, 0);
    await page.context().close();
  });

  it('come on white paper when printed, whole, whatever the theme', async () => {
    const page = await open('#trace=before.arrow', { viewport: { width: 1280, height: 500 }, colorScheme: 'dark' });
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    await page.evaluate("dispatchEvent(new Event('beforeprint'))");
    assert.equal(await page.locator('html').getAttribute('data-theme'), 'light');
    assert.equal(await page.locator('#profile').isVisible(), true);
    assert.equal(await page.locator('#zoom').isVisible(), false);
    const end = await page.evaluate<[number, number]>(
      "[document.querySelector('#profile').getBoundingClientRect().bottom, document.documentElement.scrollHeight]",
    );
    assert.ok(end[0] <= end[1] + 1, 'nothing is cut off');
    await page.evaluate("dispatchEvent(new Event('afterprint'))");
    assert.equal(await page.locator('html').getAttribute('data-theme'), 'dark');
    await page.context().close();
  });

  it('had no error or warning', () => {
    assert.deepEqual(troubles, []);
  });
});
