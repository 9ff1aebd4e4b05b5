/**
 * `npm run oracle`: tries the tables of VM entries and of VMRUN on Bochs and on this machine, and says where they
 * differ. BOCHS names another Bochs than Debian's; tables whose model it lacks are left out by name, and so are cases
 * that need what this build does not offer.
 * `--write` makes includes and images anew from vectors/checks.txt and the sweeps, and the vectors of the tables whose
 * Bochs this is. Exit code 0: agreement, but for the corrections that quote the manual; 1: a disagreement, or Bochs
 * answers other than the committed vectors of its version; 2: no Bochs or, with --write, no NASM.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runUnderBochs } from '../bench/bochs.js';
import { type FoundBochs, findBochs } from '../bench/bochs-found.js';
import {
  SVM_IMAGE,
  SVM_MODEL,
  SVM_ORACLE_FOLDER,
  SVM_VECTORS,
  SVM_VERSION,
  svmAnswers,
  svmAssembled,
  svmBaseInclude,
  svmCasesInclude,
  svmConsole,
  svmCorrection,
  svmOracleCases,
} from '../engine/svm/oracle.js';
import { CORRECTIONS, corrected, correctionOf } from '../engine/vmx/corrections.js';
import { processorOf } from '../engine/vmx/newer.js';
import { answerOf, baseInclude, includeOf, type OracleCase, SUITES, type Suite } from '../engine/vmx/oracle.js';
import {
  answersHere,
  answersIn,
  assembled,
  imageOf,
  imagePath,
  ORACLE_FOLDER,
  vectorsPath,
} from '../engine/vmx/oracle-run.js';
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
  /** The Bochs whose answers are committed. */
  readonly version: string;
  readonly cases: number;
  /** Cases that this build of Bochs cannot show. */
  readonly skipped: readonly string[];
  readonly corrected: number;
  readonly disagreements: readonly string[];
  /** Committed vectors that Bochs does not answer now, and the reverse. */
  readonly changed: readonly string[];
  /** Corrections of Bochs that were needed. */
  readonly used: ReadonlySet<string>;
}

/** Cases that a build of Bochs which says that it is another processor does not end as the suite's ends them. */
function beyond(cases: readonly OracleCase[], processor: string | null): ReadonlySet<OracleCase> {
  if (processor === null) return new Set();
  const other = processorOf(processor);
  return new Set(cases.filter(({ words, permits }) => !permits.includes(answerOf(words, other))));
}

async function tryOut(suite: Suite, found: FoundBochs): Promise<Outcome> {
  const image = imageOf(suite);
  const console = (await runUnderBochs(image, suite.name, suite)).console;
  const { processor, answers: bochs } = answersIn(console);
  const here = answersHere(suite);
  const path = vectorsPath(suite);
  const committed = existsSync(path) ? answersIn(readFileSync(path, 'latin1')) : { processor, answers: [] };
  const cases = suite.cases();
  const skipped = beyond(cases, processor === committed.processor ? null : processor);
  const tried = cases.flatMap((each, i) => (skipped.has(each) ? [] : [{ ...each, i }]));
  const disagreements = tried.flatMap(({ name, permits, i }): string[] => {
    const [ours, theirs] = [here[i] ?? `${name} (no answer)`, bochs[i] ?? `${name} (no answer)`];
    const answers = [ours, corrected(theirs)];
    const allowed = permits.map((answer) => `${name} ${answer}`);
    if (answers.every((answer) => allowed.includes(answer))) return [];
    const [mine, other] = [ours, theirs].map((line) => line.slice(name.length + 1));
    return [`${name}: Trapline ${mine}, Bochs ${other}, the manual permits ${permits.join(' or ')}`];
  });
  if (write && found.version === suite.version) writeFileSync(path, console);
  const wrong = tried.flatMap(({ i }) => correctionOf(bochs[i] ?? '') ?? []);
  const answers = (lines: readonly string[]): string[] => tried.flatMap(({ i }) => lines[i] ?? []);
  return {
    name: suite.name,
    version: suite.version,
    cases: cases.length,
    skipped: [...skipped].map(({ name }) => name),
    corrected: wrong.length,
    disagreements,
    changed: difference(answers(committed.answers), answers(bochs)),
    used: new Set(wrong.map(({ why }) => why)),
  };
}

/** VMRUN, of which this machine has the table of checks. */
async function tryOutVmrun(found: FoundBochs): Promise<Outcome> {
  const bochs = linesOf(await svmConsole(new Uint8Array(readFileSync(SVM_IMAGE))));
  const committed = existsSync(SVM_VECTORS) ? linesOf(readFileSync(SVM_VECTORS, 'latin1')) : [];
  const cases = svmOracleCases();
  const used: string[] = [];
  const disagreements = cases.flatMap((each, i): string[] => {
    const { name } = each;
    const theirs = bochs[i]?.startsWith(`${name} `) ? bochs[i].slice(name.length + 1) : 'no answer';
    const ours = svmAnswers(each);
    if (ours.some((answer) => answer === theirs)) return [];
    const why = svmCorrection(each, theirs);
    if (why !== undefined) used.push(why);
    return why === undefined ? [`${name}: Trapline ${ours.join(' or ')}, Bochs ${theirs}`] : [];
  });
  if (write && found.version === SVM_VERSION) writeFileSync(SVM_VECTORS, `${bochs.join('\n')}\n`);
  return {
    name: 'vmrun',
    version: SVM_VERSION,
    cases: cases.length,
    skipped: [],
    corrected: used.length,
    disagreements,
    changed: difference(committed, bochs),
    used: new Set(used),
  };
}

const found = findBochs();
if (typeof found === 'string') refuse(`${found}; apt-get install bochs bochs-term, or let BOCHS name one`);
if (write) {
  const assembler = missing('nasm');
  if (assembler !== false) refuse(assembler);
  makeImages();
}

let code = AGREES;
console.log(`Bochs ${found.version}, ${found.path}\n`);
console.log(
  '| table | cases | agree | Bochs wrong | disagree | vectors changed | left out |\n|---|---|---|---|---|---|---|',
);
const outcomes: Outcome[] = [];
const tables = [
  ...SUITES.map((suite) => ({ ...suite, start: () => tryOut(suite, found) })),
  { name: 'vmrun', model: SVM_MODEL, start: () => tryOutVmrun(found) },
];
for (const { name, model, start } of tables) {
  if (!found.models.has(model)) {
    console.log(`| ${name} | - | - | - | - | - | all: no model ${model} |`);
    continue;
  }
  const outcome = await start();
  outcomes.push(outcome);
  const { cases, disagreements, changed, skipped } = outcome;
  const isCommitted = outcome.version === found.version;
  const agree = cases - disagreements.length - outcome.corrected - skipped.length;
  const vectors = `${changed.length}${isCommitted ? '' : ` (of ${outcome.version})`}`;
  console.log(
    `| ${name} | ${cases} | ${agree} | ${outcome.corrected} | ${disagreements.length} | ${vectors} | ${skipped.length} |`,
  );
  if (disagreements.length > 0 || (changed.length > 0 && isCommitted && !write)) code = DIFFERS;
}
for (const { name, disagreements, changed, skipped, version } of outcomes) {
  const verb = write && version === found.version ? 'answered' : 'answers';
  printLines(`${name}: disagreements`, disagreements);
  printLines(`${name}: Bochs ${verb} otherwise than the vectors of ${version}`, changed);
  printLines(`${name}: left out, as this build does not offer the controls`, skipped);
}
const used = new Set(outcomes.flatMap((outcome) => [...outcome.used]));
printLines(
  'Where Bochs is wrong, the manual says',
  [...used].map((why) => {
    const line = CORRECTIONS.find((correction) => correction.why === why)?.line.source;
    return line === undefined ? `vmrun: ${why}` : `${line}: ${why}`;
  }),
);
console.log(code === AGREES ? '\nTrapline and Bochs agree.' : '\nTrapline and Bochs differ.');
process.exitCode = code;
