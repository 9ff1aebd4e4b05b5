/** The page of speedscope (npm package `speedscope`) in a browser: what it understands of a file. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import type { Browser } from 'playwright-core';

/** A frame that was open from one time to another, with those that it lay in. */
export interface Box {
  readonly name: string;
  readonly outer: readonly string[];
  readonly from: number;
  readonly to: number;
}

export interface Understood {
  readonly name: string;
  readonly unit: string;
  /** From the first time to the last: what speedscope says all of it weighs. */
  readonly total: number;
  readonly boxes: readonly Box[];
}

interface Evented {
  readonly name: string;
  readonly unit: string;
  readonly startValue: number;
  readonly endValue: number;
  readonly events: readonly { readonly type: 'O' | 'C'; readonly frame: number; readonly at: number }[];
}

const PAGE = pathToFileURL(createRequire(import.meta.url).resolve('speedscope/dist/release/index.html')).href;

function understood({ name, unit, startValue, endValue, events }: Evented, frames: readonly { name: string }[]) {
  const open: { name: string; from: number }[] = [];
  const boxes: Box[] = [];
  for (const { type, frame, at } of events) {
    if (type === 'O') open.push({ name: frames[frame]?.name ?? '', from: at });
    else {
      const ended = open.pop();
      if (ended !== undefined) boxes.push({ ...ended, outer: open.map((box) => box.name), to: at });
    }
  }
  return { name, unit, total: endValue - startValue, boxes };
}

/**
 * Gives a file to the page and reads what the page's own Export writes of it. `said` are its warnings and errors, and
 * whatever it asked for that is no file of the package.
 */
export async function speedscope(browser: Browser, path: string): Promise<{ profiles: Understood[]; said: string[] }> {
  const page = await browser.newPage({ viewport: { width: 400, height: 300 }, acceptDownloads: true });
  const said: string[] = [];
  page.on('pageerror', ({ message }) => said.push(message));
  page.on('console', (message) => {
    const text = message.text();
    // Chromium's drawing without a GPU complains of itself.
    if (['warning', 'error'].includes(message.type()) && !text.includes('GL Driver Message')) said.push(text);
  });
  page.on('request', (request) => {
    if (!/^(file|data|blob):/.test(request.url())) said.push(`asks for ${request.url()}`);
  });
  page.on('dialog', (dialog) => {
    said.push(dialog.message());
    void dialog.dismiss();
  });
  try {
    await page.goto(PAGE);
    await page.setInputFiles('input[type=file]', path);
    const downloading = page.waitForEvent('download');
    await page.getByText('Export').click();
    const file = JSON.parse(readFileSync(await (await downloading).path(), 'utf8'));
    return { profiles: file.profiles.map((profile: Evented) => understood(profile, file.shared.frames)), said };
  } finally {
    await page.close();
  }
}
