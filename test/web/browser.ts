/** The browser of the machine, for tests of the page. */
import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'] as const;
/** Nothing but the page: no GPU that a machine may lack, no requests of the browser's own. */
const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--no-first-run',
];

const place = PLACES.find((path) => existsSync(path)) ?? null;

/** Why tests of the page are skipped, or false; with TRAPLINE_REQUIRE_BROWSER=1 they are never skipped. */
export const skip: string | false =
  place === null && process.env.TRAPLINE_REQUIRE_BROWSER !== '1' ? 'no Chromium found on this machine' : false;

export function launch(): Promise<Browser> {
  if (place === null) throw new Error(`TRAPLINE_REQUIRE_BROWSER=1, and none of ${PLACES.join(', ')} is there`);
  return chromium.launch({ executablePath: place, args: ARGUMENTS });
}
