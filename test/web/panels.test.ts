/** The panels below the timeline, in Chromium, with traces of a host whose handler times are known from outside. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { ProfileTable } from '../../analyzer/timeline-answers.js';
import { serve } from '../../cli/serve.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { createTrace, openTrace } from '../../traces/open.js';
import type { TraceReader } from '../../traces/store.js';
import type { RunningServer } from '../../web/server/server.js';
import { launch, skip } from './browser.js';
import { random } from './synthetic.js';

const EXITS = 120;
/** Least time of each handler in microseconds; up to 8 come on top. */
const BEFORE = { MSR_READ: 20, CPUID: 30, IO_INSTRUCTION: 40 } as const;
const AFTER = { MSR_READ: 60, CPUID: 18, IO_INSTRUCTION: 40 } as const;
type Reason = keyof typeof BEFORE;
const REASONS = Object.keys(BEFORE) as readonly Reason[];

interface Log {
  readonly text: string;
  /** Handler times in microseconds. */
  readonly times: { readonly [reason in Reason]: readonly number[] };
}

/** A log of trace-cmd with so many exits of each reason. */
function logOf(least: { readonly [reason in Reason]: number }, clock: boolean): Log {
  const next = random(5);
  const times: { [reason in Reason]: number[] } = { MSR_READ: [], CPUID: [], IO_INSTRUCTION: [] };
  const lines = ['cpus=1'];
  let now = 1_000_000;
  const add = (what: string): void => {
    const stamp = `${Math.floor(now / 1e6)}.${String(now % 1e6).padStart(6, '0')}: `;
    lines.push(clock ? `            kvmc-174   [000]     ${stamp}${what}` : what);
  };
  add('kvm_entry:             vcpu 0 rip 0x1000');
  for (let i = 0; i < EXITS; i++) {
    for (const reason of REASONS) {
      const took = least[reason] + Math.floor(next() * 9);
      times[reason].push(took);
      now += 100;
      add(`kvm_exit:             reason ${reason} rip 0x1000 info 0 0`);
      now += took;
      add('kvm_entry:             vcpu 0 rip 0x1000');
    }
  }
  return { text: lines.join('\n'), times };
}

const earlier = logOf(BEFORE, true);
const later = logOf(AFTER, true);
/** The same log with an interrupt more, halfway through. */
function interrupted(text: string): string {
  const lines = text.split('\n');
  const at = lines.findIndex((line, i) => i > lines.length / 2 && line.includes('kvm_entry'));
  const stamp = (lines[at] ?? '').replace(/kvm_entry.*/, '');
  const exit = `${stamp}kvm_exit:             reason EXTERNAL_INTERRUPT rip 0x1000 info 0 800000f6`;
  return lines.toSpliced(at + 1, 0, exit, lines[at] ?? '').join('\n');
}
const median = (times: readonly number[]): number =>
  [...times].sort((a, b) => a - b)[Math.ceil(times.length / 2) - 1] ?? Number.NaN;
const sum = (times: readonly number[]): number => times.reduce((total, time) => total + time, 0);
/** Thin spaces are spaces. */
const plain = (text: string): string => text.replace(/[\s\u202f]+/g, ' ').trim();

/** Threads of two machines, which only the end of their names tells apart. */
const THREADS = [4713, 4714, 5713, 5714]
  .flatMap((thread, i) =>
    ['kvm_exit: reason CPUID rip 0x1000 info 0 0', 'kvm_entry: vcpu 0 rip 0x1002'].map(
      (what, j) => ` CPU ${i % 2}/KVM-${thread}   [00${i}]     1.00000${2 * i + j}: ${what}`,
    ),
  )
  .join('\n');

/** Two vCPUs that exit for a tenth of the time that they are seen. */
const SPARSE = [
  ...[0, 1].map((vcpu) => ` CPU ${vcpu}/KVM-${7000 + vcpu}   [000]     1.00000${vcpu}: kvm_fpu: load`),
  ...Array.from({ length: 200 }, (_, i) => {
    const what =
      i % 4 < 2
        ? `kvm_exit: reason ${i % 8 < 4 ? 'CPUID' : 'HLT'} rip 0x1000 info 0 0`
        : 'kvm_entry: vcpu 0 rip 0x1002';
    return ` CPU ${i % 2}/KVM-${7000 + (i % 2)}   [000]     1.500${String(i).padStart(3, '0')}: ${what}`;
  }),
  ' CPU 0/KVM-7000   [000]     1.900000: kvm_fpu: unload',
].join('\n');

describe('panels of host traces, in Chromium', { skip }, () => {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-panels-'));
  const readers: TraceReader[] = [];
  const troubles: string[] = [];
  let server: RunningServer;
  let browser: Browser;

  async function open(
    hash: string,
    options: BrowserContextOptions = { viewport: { width: 1440, height: 900 } },
  ): Promise<Page> {
    const page = await (await browser.newContext(options)).newPage();
    page.on('pageerror', (error) => troubles.push(error.message));
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning') troubles.push(message.text());
    });
    await page.goto(server.url + hash);
    await ready(page);
    return page;
  }
  const ready = (page: Page): Promise<void> =>
    page.locator('#answers[data-state="ready"]').waitFor({ timeout: 30_000, state: 'attached' });
  const texts = async (page: Page, cells: string): Promise<string[]> =>
    (await page.locator(cells).allInnerTexts()).map(plain);

  before(async () => {
    for (const [name, { text }] of [
      ['before.arrow', earlier],
      ['after.arrow', later],
      ['timeless.arrow', logOf(BEFORE, false)],
      ['threads.arrow', { text: THREADS }],
      ['sparse.arrow', { text: SPARSE }],
      ['more.arrow', { text: interrupted(earlier.text) }],
      ['lossy.arrow', { text: `${later.text}\nCPU:0 [LOST 50000 EVENTS]\n` }],
    ] as const) {
      importTrace(memorySource(Buffer.from(text)), () => createTrace(join(folder, name)));
      readers.push(openTrace(join(folder, name)));
    }
    server = await serve({ traces: readers, port: 0, report: (line) => troubles.push(line) });
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
    for (const reader of readers) reader.close();
    rmSync(folder, { recursive: true, force: true });
  });

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
    assert.match(await facts(), /^360 exits in both · 1 only in more\.arrow · 1 place where they part/);
    await page.locator('#compare summary').click();
    await page.locator('#compare .choice input[value="EXTERNAL_INTERRUPT"]').check();
    await page.locator('#compare .same').waitFor();
    assert.match(await facts(), /^360 exits in both · matched by .* · without EXTERNAL_INTERRUPT$/);
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
    const answer = await fetch(`${server.url}api/traces/4/profile?${inView}&vcpu=0`);
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
    await page.goto(`${server.url}#trace=before.arrow&panel=compare&with=gone.arrow`);
    await page.locator('#notice', { hasText: 'No trace named gone.arrow is served.' }).waitFor();
    await page.context().close();
  });

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
