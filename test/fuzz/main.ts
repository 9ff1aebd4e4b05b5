/**
 * `npm run fuzz -- [FORM|all] [COUNT] [SEED] [FIRST]`: mutations for as long as one likes. Prints a line a form; a failing
 * case is written to a file with the command that runs it again, and the exit code is 1.
 */
import { FORMS } from './forms.js';
import { checkSeeds, runForm } from './run.js';

const [name = 'all', count = '50000', seed = '1', first = '0'] = process.argv.slice(2);
const all = await FORMS();
const forms = all.filter((form) => name === 'all' || form.name === name);
if (forms.length === 0) {
  console.error(`no form '${name}': ${all.map((form) => form.name).join(', ')}`);
  process.exitCode = 2;
}
for (const form of forms) {
  const begun = process.cpuUsage();
  try {
    await checkSeeds(form);
    const { whole, stopped, refused } = await runForm(form, Number(count), Number(seed), Number(first));
    const { user, system } = process.cpuUsage(begun);
    const seconds = ((user + system) / 1e6).toFixed(1);
    console.log(`${form.name}: ${whole} whole, ${stopped} stopped, ${refused} refused, ${seconds} s`);
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
for (const form of all) await form.close?.();
