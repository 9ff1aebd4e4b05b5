/** The panels of a host's traces by keyboard and by ear, in Chromium. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { skip } from './browser.js';
import { ready, servedPanels } from './panels.js';

describe('panels of host traces by keyboard, in Chromium', { skip }, () => {
  const { open, troubles } = servedPanels();

  it('leave the keyboard where it is when a press draws them anew', async () => {
    const page = await open('#trace=before.arrow');
    const focused = (): Promise<string> =>
      page.evaluate<string>(
        "[document.activeElement.tagName, document.activeElement.value ?? '', document.activeElement.ariaLabel ?? document.activeElement.textContent].join(' ')",
      );
    /** Without the arrows that say how something stands. */
    const named = (text: string): string => text.replace(/ ?[↓↑▸▾]/, '');
    const presses: readonly (readonly [tab: string, control: string, key: string, drawn: string])[] = [
      ['profile', '#profile th button:has-text("Max")', 'Enter', '#profile th[aria-sort] button:has-text("Max")'],
      ['profile', '#profile .fold >> nth=1', 'Enter', '#profile .fold[aria-expanded="true"]'],
      [
        'profile',
        '#scope button[data-scoped="true"]',
        'Space',
        '#scope button[data-scoped="true"][aria-pressed="true"]',
      ],
      ['profile', '#axis button[data-axis="seq"]', 'Space', '#axis button[data-axis="seq"][aria-pressed="true"]'],
      ['flame', '#flame [data-weight="exits"]', 'Space', '#flame [data-weight="exits"][aria-pressed="true"]'],
      ['flame', '#flame .frame >> nth=2', 'Enter', '#flame .frame.above'],
      ['compare', '#compare table:last-child .fold >> nth=1', 'Enter', '#compare .fold[aria-pressed="true"]'],
    ];
    for (const [tab, control, key, drawn] of presses) {
      await page.locator(`#tab-${tab}`).click();
      await ready(page);
      await page.locator(control).focus();
      const was = named(await focused());
      await page.keyboard.press(key);
      await page.locator(drawn).first().waitFor();
      await ready(page);
      assert.equal(named(await focused()), was, control);
    }
    await page.locator('#choices summary').first().focus();
    await page.keyboard.press('Enter');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Space');
    await page.locator('#choices summary', { hasText: 'Kinds: entry, exit' }).waitFor();
    assert.match(await focused(), /^INPUT entry/);
    await page.keyboard.press('Escape');
    assert.match(await focused(), /^SUMMARY .*Kinds: entry, exit/);
    await page.keyboard.press('n');
    await page.locator('#detail[data-seq]').waitFor();
    await page.locator('#detail button[aria-label="Next event"]').focus();
    const seq = await page.locator('#detail').getAttribute('data-seq');
    await page.keyboard.press('Enter');
    await page.locator(`#detail[data-seq]:not([data-seq="${seq}"])`).waitFor();
    assert.match(await focused(), /Next event$/);
    await page.context().close();
  });

  it('have a name for every control', async () => {
    const page = await open('#trace=before.arrow');
    for (const name of ['Light or dark', 'Keys', 'Zoom out', 'Zoom in'])
      assert.equal(await page.getByRole('button', { name, exact: true }).count(), 1, name);
    for (const name of ['Exits by reason', 'Hottest instructions'])
      assert.equal(await page.getByRole('table', { name }).count(), 1, name);
    await page.keyboard.press('n');
    const spoken = page.locator('#spoken', { hasText: /^exit MSR_READ, .*, #1, / });
    await spoken.waitFor({ state: 'attached' });
    assert.equal(await spoken.getAttribute('role'), 'status', 'the event is heard');
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog', { name: 'Keys' }).waitFor({ state: 'hidden' });
    await page.context().close();
  });

  it('had no error or warning', () => {
    assert.deepEqual(troubles, []);
  });
});
