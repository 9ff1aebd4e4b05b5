/** `npm run bench`: measures, beside the peers that are installed, and prints one table. `--quick` takes a tenth. */
import { findBochs } from './bochs-found.js';
import { measureDiffs } from './diffs.js';
import { measureImports } from './imports.js';
import {
  measureBochsRoundTrips,
  measureKernels,
  measureMemory,
  measurePeak,
  measureReplay,
  measureRoundTrips,
} from './machine.js';
import { measureProfile } from './profile.js';
import { type Measured, measureStores } from './stores.js';

const quick = process.argv.includes('--quick');
const scale = quick ? 0.1 : 1;
const runs = quick ? 1 : 3;

const number = (value: number): string =>
  value >= 1000 ? Math.round(value).toLocaleString('en-US') : value.toPrecision(3);

function print(rows: readonly Measured[]): void {
  for (const { name, value, unit, bound, atMost } of rows) {
    const cells = `| ${name} | ${number(value)} ${unit}`;
    if (bound === null) {
      console.log(`${cells} | | |`);
      continue;
    }
    const holds = atMost ? value <= bound : value >= bound;
    const limit = `${atMost ? 'at most' : 'at least'} ${number(bound)}`;
    console.log(`${cells} | ${limit} | ${holds ? 'yes' : 'NO'} |`);
  }
}

const bochs = findBochs();
const missing = typeof bochs === 'string' ? bochs : null;
console.log(
  `Node ${process.version}, medians of ${runs}${quick ? ', quick' : ''}${missing ? `; no Bochs: ${missing}` : ''}\n`,
);
console.log(
  `| kernel | Trapline, M ticks/s | Bochs${typeof bochs === 'string' ? '' : ` ${bochs.version}`} | ratio |\n|---|---|---|---|`,
);
const kernels = await measureKernels(runs, scale, missing === null);
for (const { name, trapline, bochs } of kernels) {
  const ratio = bochs === null ? '' : (trapline / bochs).toFixed(2);
  console.log(`| ${name} | ${number(trapline)} | ${bochs === null ? '' : number(bochs)} | ${ratio} |`);
}
const ratios = kernels.flatMap(({ trapline, bochs }) => (bochs === null ? [] : [trapline / bochs]));
if (ratios.length > 0) {
  const mean = Math.exp(ratios.reduce((sum, ratio) => sum + Math.log(ratio), 0) / ratios.length);
  console.log(`| geometric mean | | | ${mean.toFixed(2)} (at least 2: ${mean >= 2 ? 'yes' : 'NO'}) |`);
}
console.log('\n| measure | value | bound | holds |\n|---|---|---|---|');
print(measureRoundTrips(runs, scale));
if (missing === null) {
  console.log(`| the same in Bochs, not recorded | ${number(await measureBochsRoundTrips(runs, scale))} 1/s | | |`);
}
print(measureMemory(runs, scale));
print(measureStores(scale));
print(measureProfile(runs, scale));
print(measureReplay(scale));
if (!quick) print(measureImports());
print(measureDiffs(runs, scale));
print(measurePeak(scale));
