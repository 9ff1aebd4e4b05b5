/** Traces of a host whose handler times are known from outside, served, and a browser that shows their panels. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import { serve } from '../../cli/serve.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { createTrace, openTrace } from '../../traces/open.js';
import type { TraceReader } from '../../traces/store.js';
import type { RunningServer } from '../../web/server/server.js';
import { launch } from './browser.js';
import { random } from './synthetic.js';

export const EXITS = 120;
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

export const earlier = logOf(BEFORE, true);
export const later = logOf(AFTER, true);

/** The same log with an interrupt more, halfway through. */
function interrupted(text: string): string {
  const lines = text.split('\n');
  const at = lines.findIndex((line, i) => i > lines.length / 2 && line.includes('kvm_entry'));
  const stamp = (lines[at] ?? '').replace(/kvm_entry.*/, '');
  const exit = `${stamp}kvm_exit:             reason EXTERNAL_INTERRUPT rip 0x1000 info 0 800000f6`;
  return lines.toSpliced(at + 1, 0, exit, lines[at] ?? '').join('\n');
}
/** The same log without 40 of its exits, which were lost. */
function holed(text: string): string {
  const lines = text.split('\n');
  const at = lines.findIndex((line, i) => i > lines.length / 2 && line.includes('kvm_exit'));
  return lines.toSpliced(at, 80, 'CPU:0 [LOST 80 EVENTS]').join('\n');
}
/** Thin spaces are spaces. */
export const plain = (text: string): string => text.replace(/[\s\u202f]+/g, ' ').trim();

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

/** What tests of the panels ask of the page. */
interface Panels {
  /** Errors and warnings of page and server. */
  readonly troubles: readonly string[];
  readonly url: () => string;
  /** Where a trace is, by its name. */
  readonly place: (name: string) => string;
  open(hash: string, options?: BrowserContextOptions): Promise<Page>;
}

/** Serves the traces to the tests of the suite that calls it. */
export function servedPanels(): Panels {
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

  before(async () => {
    for (const [name, { text }] of [
      ['before.arrow', earlier],
      ['after.arrow', later],
      ['timeless.arrow', logOf(BEFORE, false)],
      ['threads.arrow', { text: THREADS }],
      ['sparse.arrow', { text: SPARSE }],
      ['more.arrow', { text: interrupted(earlier.text) }],
      ['lossy.arrow', { text: `${later.text}\nCPU:0 [LOST 50000 EVENTS]\n` }],
      ['gap.arrow', { text: `${later.text}\nCPU:0 [LOST 5 EVENTS]\n` }],
      ['hole.arrow', { text: holed(earlier.text) }],
      ['entries.arrow', { text: ` CPU 0/KVM-174   [000]     1.000000: kvm_entry: vcpu 0 rip 0x1000` }],
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
  return { troubles, url: () => server.url, place: (name) => join(folder, name), open };
}

export const ready = (page: Page): Promise<void> =>
  page.locator('#answers[data-state="ready"]').waitFor({ timeout: 30_000, state: 'attached' });

export const texts = async (page: Page, cells: string): Promise<string[]> =>
  (await page.locator(cells).allInnerTexts()).map(plain);
