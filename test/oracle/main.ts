/**
 * `npm run oracle`: tries the tables of VM entries and of VMRUN on Bochs and on this machine, and says where they
 * differ.
 * `--write` makes includes, images and vectors anew from vectors/checks.txt. Exit code 0: agreement, but for the
 * corrections that quote the manual; 1: a disagreement, or Bochs answers other than the committed vectors; 2: no Bochs
 * or, with --write, no NASM.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { bochsMissing, runUnderBochs } from '../bench/bochs.js';
import { consoleHere } from '../engine/console.js';
import {
  SVM_IMAGE,
  SVM_ORACLE_FOLDER,
  SVM_VECTORS,
  svmAnswer,
  svmAssembled,
  svmBaseInclude,
  svmCasesInclude,
  svmConsole,
  svmCorrection,
  svmOracleCases,
} from '../engine/svm/oracle.js';
import { CORRECTIONS, corrected, correctionOf } from '../engine/vmx/corrections.js';
import { baseInclude, includeOf, SUITES, type Suite } from '../engine/vmx/oracle.js';
import { assembled, imageOf, imagePath, ORACLE_FOLDER, vectorsPath } from '../engine/vmx/oracle-run.js';
import { missing } from '../nasm.js';

const AGREES = 0;
const DIFFERS = 1;
const CANNOT = 2;
/** Lines of a difference that are printed. */
const MOST = 40;

const write = process.argv.includes('--write');

/** One line on standard error, and exit code 2. */
function refuse(why: string): never {
  console.error(`oracle: ${why}`);
  process.exit(CANNOT);
}

function makeImages(): void {
  writeFileSync(join(ORACLE_FOLDER, 'base.inc'), baseInclude());
  for (const suite of SUITES) writeFileSync(join(ORACLE_FOLDER, suite.include), includeOf(suite));
  for (const suite of SUITES) writeFileSync(imagePath(suite), assembled(suite));
  writeFileSync(join(SVM_ORACLE_FOLDER, 'base.inc'), svmBaseInclude());
  writeFileSync(join(SVM_ORACLE_FOLDER, 'cases.inc'), svmCasesInclude());
  writeFileSync(SVM_IMAGE, svmAssembled());
}

const linesOf = (text: string): string[] => (text === '' ? [] : text.trimEnd().split('\n'));

/** What is only in one of two lists, in order, as `-` and `+` lines. */
function difference(before: readonly string[], after: readonly string[]): string[] {
  const [old, now] = [new Set(before), new Set(after)];
  return [
    ...before.filter((line) => !now.has(line)).map((line) => `- ${line}`),
    ...after.filter((line) => !old.has(line)).map((line) => `+ ${line}`),
  ];
}

function printLines(title: string, lines: readonly string[]): void {
  if (lines.length === 0) return;
  console.log(`\n${title}`);
  for (const line of lines.slice(0, MOST)) console.log(`  ${line}`);
  if (lines.length > MOST) console.log(`  ... and ${lines.length - MOST} more`);
}

interface Outcome {
  readonly name: string;
  readonly cases: number;
  readonly corrected: number;
  readonly disagreements: readonly string[];
  /** Committed vectors that Bochs does not answer now, and the reverse. */
  readonly changed: readonly string[];
  /** Corrections of Bochs that were needed. */
  readonly used: ReadonlySet<string>;
}

async function tryOut(suite: Suite): Promise<Outcome> {
  const image = imageOf(suite);
  const bochs = linesOf((await runUnderBochs(image, suite.name)).console);
  const here = linesOf(consoleHere(image, suite.name));
  const path = vectorsPath(suite);
  const committed = existsSync(path) ? linesOf(readFileSync(path, 'latin1')) : [];
  const cases = suite.cases();
  const disagreements = cases.flatMap(({ name, permits }, i): string[] => {
    const [ours, theirs] = [here[i] ?? `${name} (no answer)`, bochs[i] ?? `${name} (no answer)`];
    const answers = [ours, corrected(theirs)];
    const allowed = permits.map((answer) => `${name} ${answer}`);
    if (answers.every((answer) => allowed.includes(answer))) return [];
    const [mine, other] = [ours, theirs].map((line) => line.slice(name.length + 1));
    return [`${name}: Trapline ${mine}, Bochs ${other}, the manual permits ${permits.join(' or ')}`];
  });
  if (write) writeFileSync(path, `${bochs.join('\n')}\n`);
  const wrong = bochs.filter((line) => correctionOf(line) !== undefined);
  return {
    name: suite.name,
    cases: cases.length,
    corrected: wrong.length,
    disagreements,
    changed: difference(committed, bochs),
    used: new Set(wrong.flatMap((line) => correctionOf(line)?.why ?? [])),
  };
}

/** VMRUN, of which this machine has the table of checks. */
async function tryOutVmrun(): Promise<Outcome> {
  const bochs = linesOf(await svmConsole(new Uint8Array(readFileSync(SVM_IMAGE))));
  const committed = existsSync(SVM_VECTORS) ? linesOf(readFileSync(SVM_VECTORS, 'latin1')) : [];
  const cases = svmOracleCases();
  const used: string[] = [];
  const disagreements = cases.flatMap((each, i): string[] => {
    const { name } = each;
    const theirs = bochs[i]?.startsWith(`${name} `) ? bochs[i].slice(name.length + 1) : 'no answer';
    const ours = svmAnswer(each);
    if (ours === theirs) return [];
    const why = svmCorrection(each, theirs);
    if (why !== undefined) used.push(why);
    return why === undefined ? [`${name}: Trapline ${ours}, Bochs ${theirs}`] : [];
  });
  if (write) writeFileSync(SVM_VECTORS, `${bochs.join('\n')}\n`);
  return {
    name: 'vmrun',
    cases: cases.length,
    corrected: used.length,
    disagreements,
    changed: difference(committed, bochs),
    used: new Set(used),
  };
}

const without = bochsMissing();
if (without !== null) refuse(`${without}; apt-get install bochs bochs-term`);
if (write) {
  const assembler = missing('nasm');
  if (assembler !== false) refuse(assembler);
  makeImages();
}

let code = AGREES;
const used = new Set<string>();
console.log('| table | cases | agree | Bochs wrong | disagree | vectors changed |\n|---|---|---|---|---|---|');
const outcomes: Outcome[] = [];
for (const start of [...SUITES.map((suite) => () => tryOut(suite)), tryOutVmrun]) {
  const outcome = await start();
  outcomes.push(outcome);
  const { name, cases, disagreements, changed } = outcome;
  const agree = cases - disagreements.length - outcome.corrected;
  console.log(`| ${name} | ${cases} | ${agree} | ${outcome.corrected} | ${disagreements.length} | ${changed.length} |`);
  for (const why of outcome.used) used.add(why);
  if (disagreements.length > 0 || (changed.length > 0 && !write)) code = DIFFERS;
}
for (const { name, disagreements, changed } of outcomes) {
  printLines(`${name}: disagreements`, disagreements);
  printLines(`${name}: Bochs ${write ? 'answered' : 'answers'} otherwise than the vectors`, changed);
}
printLines(
  'Where Bochs is wrong, the manual says',
  [...used].map((why) => {
    const line = CORRECTIONS.find((correction) => correction.why === why)?.line.source;
    return line === undefined ? `vmrun: ${why}` : `${line}: ${why}`;
  }),
);
console.log(code === AGREES ? '\nTrapline and Bochs agree.' : '\nTrapline and Bochs differ.');
process.exitCode = code;
