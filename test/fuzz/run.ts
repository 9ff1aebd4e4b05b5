/**
 * Runs mutations of a form and asserts what must hold of each. A case is a number: the same seed and number are the same
 * bytes. What fails is written to a file, with the command that runs it again.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Random, randomOf } from './random.js';
import { watch } from './watchdog.js';

/** `whole`: read to the end; `stopped`: what came before the damage was kept; `refused`: one coded error. */
export type Outcome = 'whole' | 'stopped' | 'refused';

/** Something that reads what it did not write. */
export interface Form {
  readonly name: string;
  readonly seeds: readonly Uint8Array[];
  /** A mutation of one of the seeds. */
  mutate(original: Uint8Array, random: Random): Uint8Array;
  /** Reads the input; throws where what must hold does not. */
  check(input: Uint8Array, original: Uint8Array, run: number): Outcome | Promise<Outcome>;
  /** Ends what the form runs beside itself. */
  close?(): Promise<void>;
}

export type Tally = { readonly [outcome in Outcome]: number };

/** Memory that a run may hold, whatever it reads. */
const MEMORY = 1 << 30;
/** How often memory is looked at. */
const LOOK = 64;

export const inputOf = (form: Form, seed: number, run: number): { input: Uint8Array; original: Uint8Array } => {
  const random = randomOf(seed, run);
  const original = random.pick(form.seeds);
  return { original, input: form.mutate(original, random) };
};

/** What is not mutated at all is read, or the mutations would test nothing. */
export async function checkSeeds(form: Form): Promise<void> {
  for (const seed of form.seeds)
    assert.notEqual(await form.check(seed, seed, 1), 'refused', `${form.name}: a seed is refused`);
}

/** Runs cases [first, first + count) of `form`. Throws the failure of the first that fails. */
export async function runForm(form: Form, count: number, seed: number, first = 0): Promise<Tally> {
  const tally = { whole: 0, stopped: 0, refused: 0 };
  const dog = watch(form.name, seed);
  try {
    for (let run = first; run < first + count; run++) {
      dog.begin(run);
      const { input, original } = inputOf(form, seed, run);
      try {
        tally[await form.check(input, original, run)] += 1;
        if (run % LOOK === 0) checkMemory();
      } catch (error) {
        throw failure(form, seed, run, input, error);
      }
    }
    return tally;
  } finally {
    dog.end();
  }
}

function checkMemory(): void {
  const { rss } = process.memoryUsage();
  if (rss > MEMORY) throw new Error(`the process holds ${Math.round(rss / 2 ** 20)} MiB`);
}

function failure(form: Form, seed: number, run: number, input: Uint8Array, cause: unknown): Error {
  const path = join(tmpdir(), `trapline-fuzz-${form.name}-${seed}-${run}`);
  writeFileSync(path, input);
  const why = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  const again = `npm run fuzz -- ${form.name} 1 ${seed} ${run}`;
  return new Error(`${form.name}, case ${run} of seed ${seed} (input in ${path}; again: ${again}): ${why}`, { cause });
}
