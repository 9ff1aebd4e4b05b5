/** Makes the tables of oracle/entries.asm from the cases of vectors/checks.txt. */
import type { CpuModel } from '../../../engine/cpu/model.js';
import { REVISION, skylakeVmx } from '../../../engine/vmx/capabilities.js';
import { CHECKS } from '../../../engine/vmx/checks/table.js';
import { FIELDS, type FieldName } from '../../../engine/vmx/fields.js';
import { Bench, modelWith, PLACES } from './bench.js';
import { CORRECTIONS } from './corrections.js';
import { wildcatLake } from './newer.js';
import { SEGMENT_SWEEPS, SWEEPS, sweepCases } from './sweeps.js';
import { type Assignment, assignments, type Case, cases } from './vectors.js';

const OPERATIONS: { readonly [operator in Assignment['operator']]: string } = {
  '=': '0',
  '+=': 'OR_BITS',
  '-=': 'CLEAR_BITS',
};

const encodingOf = (name: FieldName): number => FIELDS.find((field) => field.name === name)?.encoding ?? 0;
const literal = (value: bigint): string => `0x${value.toString(16)}`;

/** Where CR3 of the bench's guest points. */
const GUEST_TABLE = 0x7000;
/** Bit 39 is the first beyond the width of the test's model; 46 is beyond that of every model. */
const WIDTH = 0x80_0000_0000n;
const BEYOND = 0x4000_0000_0000n;
/** The test's model maps nothing at its EPT pointer; the image has a page that is empty indeed. */
const EPT_PAGE = 0x5000n;

function operandOf({ field, value }: Assignment): string {
  if (field === 'VMCS_LINK_POINTER' && value === BigInt(PLACES.vmcs)) return 'vmcs';
  if (field === 'EPT_POINTER' && (value & ~0xfffn) === EPT_PAGE) return `empty_page + ${literal(value & 0xfffn)}`;
  if (value >= WIDTH && value < 2n * WIDTH) return literal((value & (WIDTH - 1n)) | BEYOND);
  return literal(value);
}

/** State that the image cannot have: a 32-bit host, SMM. Words of memory have a table of their own. */
const isPortable = ({ preset }: Assignment): boolean => preset !== 'host32' && preset !== 'smm';

/** The state enters with what it injects, or would but for the tables that delivery takes. */
const isAccepted = (words: readonly Assignment[], processor: CpuModel): boolean =>
  answerOf(words, processor) === 'entered';

function apply(bench: Bench, words: readonly Assignment[]): void {
  for (const { memory, field, operator, value } of words) {
    if (memory !== undefined) bench.cpu.memory.write(memory, 4, Number(value));
    if (field === undefined) continue;
    const old = bench.field(field);
    bench.set(field, operator === '+=' ? old | value : operator === '-=' ? old & ~value : value);
  }
}

/** How a processor of the engine ends an entry with these assignments, in the words of the image. */
export function answerOf(words: readonly Assignment[], processor: CpuModel): string {
  const bench = new Bench(processor).startVmx().fill();
  const missing = words.some(({ field }) => field !== undefined && bench.lacks(encodingOf(field)));
  if (missing) return 'no such field';
  apply(bench, words);
  bench.told.length = 0;
  bench.run('vmlaunch');
  const failed = bench.told.find(({ kind }) => kind === 'vmfail' || kind === 'entry_failed');
  if (failed?.kind === 'vmfail') return `error ${failed.fields.code}`;
  if (failed) return `exit ${(failed.fields.reason ?? 0n) & 0xffffn}:${failed.fields.qualification}`;
  return 'entered';
}

export interface OracleCase {
  readonly name: string;
  /** What the manual permits, as the image prints it; more than one where it leaves the order of checks open. */
  readonly permits: readonly string[];
  readonly words: readonly Assignment[];
}

const expected = ({ answer }: Case): string => {
  const [code, qualification = '0'] = answer.split(':');
  return code === '7' || code === '8' ? `error ${code}` : `exit ${code}:${qualification}`;
};

interface Portable extends Case {
  readonly name: string;
  readonly words: readonly Assignment[];
  readonly before: readonly Assignment[];
}

const skylake = modelWith(skylakeVmx);

const hasTrapFlag = (processor: CpuModel): boolean => (((processor.msrs.get(0x48e) ?? 0n) >> 59n) & 1n) !== 0n;

/** Has words of memory, or something that is in memory. */
const needsMemory = (words: readonly Assignment[]): boolean =>
  words.some(
    ({ memory, field, value }) =>
      memory !== undefined ||
      (field === 'VMCS_LINK_POINTER' && value === BigInt(PLACES.other)) ||
      (field === 'VM_ENTRY_MSR_LOAD_COUNT' && value > 0n),
  );

/** The image's guest has an empty page at CR3, and the bench its own. */
const withTable = (words: readonly Assignment[]): readonly Assignment[] =>
  words.some(({ memory = 0 }) => memory >= GUEST_TABLE)
    ? [{ field: 'GUEST_CR3', operator: '=', value: BigInt(GUEST_TABLE) }, ...words]
    : words;

/** Cases that a processor can show: those that need more than it has would all be error 7. */
function portable(processor: CpuModel, inMemory = false): Portable[] {
  return cases.flatMap((each): Portable[] => {
    // Models differ in the exact width, at which the end of an area is judged, and in whether they have MTF.
    if (each.answer === '-' || each.ids[0]?.endsWith('.end')) return [];
    if (each.mutation.includes('INTR=800007') && !hasTrapFlag(processor)) return [];
    const [setup, mutation] = [assignments(each.setup), assignments(each.mutation)];
    if (needsMemory([...setup, ...mutation]) !== inMemory) return [];
    const [before, words] = [withTable(setup), withTable([...setup, ...mutation])];
    if (!words.every(isPortable)) return [];
    // Only where the setup enters on this model does the mutation alone decide.
    const quiet = before.map((word) => (word.field === 'VM_ENTRY_INTR_INFO_FIELD' ? { ...word, value: 0n } : word));
    if (answerOf(quiet, processor) !== 'entered' || answerOf(words, processor) !== expected(each)) return [];
    return [{ ...each, name: `${each.ids[0]} ${each.mutation}`.trim(), before, words }];
  });
}

/** One fault each, and before them the states that they are made of, which must enter. */
function oracleCases(processor: CpuModel, among: readonly Portable[] = portable(processor)): OracleCase[] {
  const before = new Map<string, OracleCase>();
  const after: OracleCase[] = [];
  for (const each of among) {
    after.push({ name: each.name, permits: [expected(each)], words: each.words });
    // Areas that an exit would load, states that nothing ends, a pending MTF exit, which not every model takes.
    const harmless = !/EXIT_MSR_(LOAD|STORE)|ACTIVITY_STATE=[23]|INTR=80000700/.test(each.setup);
    const isHost = CHECKS.find(({ id }) => id === each.ids[0])?.stage === 'host';
    if (each.setup === '' || isHost || !harmless || before.has(each.setup)) continue;
    if (!isAccepted(each.before, processor)) continue;
    before.set(each.setup, { name: `good ${each.setup}`, permits: ['entered'], words: each.before });
  }
  return [...before.values(), ...after];
}

/** MSRs of an area, the second entry of which is refused by a rule: number, bits 63:32 of the entry, value. */
const REFUSED: readonly (readonly [rule: string, index: number, reserved: number, value: bigint])[] = [
  ['msr_load.reserved', 0x174, 1, 0n],
  ['msr_load.segment_base', 0xc000_0100, 0, 0n],
  ['msr_load.segment_base', 0xc000_0101, 0, 0n],
  ['msr_load.x2apic', 0x802, 0, 0n],
  ['msr_load.smm_monitor', 0x9b, 0, 0n],
  ['msr_load.microcode', 0x79, 0, 0n],
  ['msr_load.microcode', 0x8b, 0, 0n],
  ['msr_load.refused', 0xc000_0082, 0, 0x8000_0000_0000n],
  ['msr_load.refused', 0x480, 0, 0n],
  ['msr_load.refused', 0x277, 0, 2n],
  ['good', 0xc000_0082, 0, 0x7fff_ffff_ffffn],
  ['good', 0x174, 0, 0xffff_ffffn],
];

/** "An MSR that cannot be loaded on VM entries for model-specific reasons": other models load it. */
const BY_MODEL = 'msr_load.microcode';

/** An area of two entries, the first of which is fine, and how it ends. */
function areaCase([rule, index, reserved, value]: (typeof REFUSED)[number], processor: CpuModel): OracleCase {
  const low = (word: bigint): string => (word & 0xffff_ffffn).toString(16);
  const entry = [BigInt(index), BigInt(reserved), value, value >> 32n];
  const stores = [0x175n, 0n, 0n, 0n, ...entry].map(
    (word, i) => `mem:${(PLACES.msrs + 4 * i).toString(16)}=${low(word)}`,
  );
  const area = `VM_ENTRY_MSR_LOAD_COUNT=2 VM_ENTRY_MSR_LOAD_ADDR=${PLACES.msrs.toString(16)}`;
  const words = assignments(`${area} ${stores.join(' ')}`);
  const name = `${rule} MSR ${index.toString(16)}:${reserved}=${value.toString(16)}`;
  const permits = [answerOf(words, processor), ...(rule === BY_MODEL ? ['entered'] : [])];
  return { name, permits, words };
}

/** What depends on memory: areas, a linked VMCS, the virtual APIC, PDPTEs. */
const memoryCases = (): OracleCase[] => [
  ...oracleCases(skylake, portable(skylake, true)),
  ...REFUSED.map((entry) => areaCase(entry, skylake)),
];

/** Pairs that are tried; each case takes part in about as many. */
const PAIRS = 240;

/** The same numbers every time: a linear congruential generator. */
function* numbers(): Generator<number> {
  let state = 1;
  for (;;) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    yield state / 2 ** 32;
  }
}

const touched = (words: readonly Assignment[]): Set<string> => new Set(words.map(({ field }) => field ?? ''));

/** Faults of controls and of host state are found in any order, before any of guest state; those of guest state too. */
function permitted(pair: readonly Portable[]): string[] {
  const answers = [...new Set(pair.map(expected))];
  const early = answers.filter((answer) => answer.startsWith('error'));
  return early.length > 0 ? early : answers;
}

/** Two faults at once, in fields of their own. Faults that Bochs does not see say nothing beside another. */
function oraclePairs(): OracleCase[] {
  const singles = portable(skylake).filter(
    ({ name }) => !CORRECTIONS.some(({ line: matches }) => matches.test(`${name} `)),
  );
  const random = numbers();
  const pairs = new Map<string, OracleCase>();
  const pick = (): Portable | undefined => singles[Math.floor((random.next().value ?? 0) * singles.length)];
  while (pairs.size < PAIRS) {
    const [a, b] = [pick(), pick()];
    if (a === undefined || b === undefined || a.ids[0] === b.ids[0]) continue;
    const [one, two] = [touched(a.words), touched(b.words)];
    if ([...one].some((field) => two.has(field))) continue;
    const words = [...a.words, ...b.words];
    const permits = permitted([a, b]);
    // Together the setups must leave each fault what it is.
    if (!permits.includes(answerOf(words, skylake)) || !isAccepted([...a.before, ...b.before], skylake)) continue;
    const name = `${a.name} + ${b.name}`;
    if (!pairs.has(name)) pairs.set(name, { name, permits, words });
  }
  return [...pairs.values()];
}

/** Words of a VMCS region's revision are told by what they differ in from that of the processor. */
function memoryLine(at: number, value: bigint): string {
  const isRevision = at === PLACES.other;
  const isBeyond = at >= GUEST_TABLE && at % 8 === 4 && value === WIDTH >> 32n;
  const word = isRevision ? value ^ BigInt(REVISION) : isBeyond ? BEYOND >> 32n : value;
  return `  SET_FIELD ${literal(BigInt(at))}, ${isRevision ? 'STORE_REVISION' : 'STORE'}, ${literal(word)} ; memory`;
}

const line = (word: Assignment): string[] => {
  if (word.memory !== undefined) return [memoryLine(word.memory, word.value)];
  return word.field === undefined
    ? []
    : [
        `  SET_FIELD ${literal(BigInt(encodingOf(word.field)))}, ${OPERATIONS[word.operator]}, ${operandOf(word)} ; ${word.field}`,
      ];
};

const include = (list: readonly OracleCase[]): string =>
  list.map(({ name, words }) => [`  CASE "${name}"`, ...words.flatMap(line), '  END_CASE', ''].join('\n')).join('');

/** What an older processor cannot show, and it alone. */
function newerCases(): OracleCase[] {
  const old = new Set(portable(skylake).map(({ name }) => name));
  return oracleCases(
    wildcatLake,
    portable(wildcatLake).filter(({ name }) => !old.has(name)),
  );
}

/** A table of cases: its include of oracle/, what it is made of, and NASM's options for its image. */
export interface Suite {
  readonly name: 'entries' | 'pairs' | 'memory' | 'segments' | 'newer' | keyof typeof SWEEPS;
  readonly include: 'cases.inc' | `${string}.inc`;
  readonly options: readonly string[];
  /** The model of Bochs, and what it has in the words of the engine. */
  readonly model: 'corei7_skylake_x' | 'wildcat_lake';
  readonly processor: CpuModel;
  /** This machine has that processor. */
  readonly isMachine: boolean;
  /** The Bochs whose answers are committed. */
  readonly version: string;
  readonly cases: () => readonly OracleCase[];
}

const OLD = { model: 'corei7_skylake_x', processor: skylake, isMachine: true, version: '2.7' } as const;

const NEW = { model: 'wildcat_lake', processor: wildcatLake, isMachine: false, version: '3.0.devel' } as const;

export const SUITES: readonly Suite[] = [
  { name: 'entries', include: 'cases.inc', options: [], ...OLD, cases: () => oracleCases(skylake) },
  { name: 'pairs', include: 'pairs.inc', options: ['-dPAIRS'], ...OLD, cases: oraclePairs },
  { name: 'memory', include: 'memory.inc', options: ['-dMEMORY'], ...OLD, cases: memoryCases },
  {
    name: 'segments',
    include: 'segments.inc',
    options: ['-dSEGMENTS_SWEEP'],
    ...OLD,
    cases: () => sweepCases(skylake, SEGMENT_SWEEPS),
  },
  { name: 'newer', include: 'newer.inc', options: ['-dNEWER'], ...NEW, cases: newerCases },
  ...Object.entries(SWEEPS).map(
    ([name, sweeps]): Suite => ({
      name: name as keyof typeof SWEEPS,
      include: `${name}.inc`,
      options: ['-dNEWER', `-d${name.toUpperCase()}_SWEEP`],
      ...NEW,
      cases: () => sweepCases(wildcatLake, sweeps),
    }),
  ),
];

/** The text of a suite's include. */
export const includeOf = (suite: Suite): string => include(suite.cases());

/** Where the image differs from the bench: a guest without translations, which soon gives up, or its timer ends it. */
const PLACED: { readonly [name: string]: string } = { GUEST_CR3: 'empty_page', VMX_PREEMPTION_TIMER_VALUE: '0x1000' };

/** oracle/base.inc: what the bench fills its VMCS with, but for controls and host state, which are the image's own. */
export function baseInclude(): string {
  const bench = new Bench(skylake).startVmx().fill();
  const own = /^(HOST_(?!IA32|S_CET|SSP|INTR)|.*_VM_EXEC_CONTROL$|VM_EXIT_CONTROLS$|VM_ENTRY_CONTROLS$)/;
  const fields = FIELDS.filter(({ name, type }) => type !== 'data' && !own.test(name));
  const values = fields.map(({ name, encoding }) => {
    return `  SET_FIELD ${literal(BigInt(encoding))}, 0, ${PLACED[name] ?? literal(bench.field(name))} ; ${name}\n`;
  });
  return `${values.join('')}  SET_FIELD 0x401e, 0, 0 ; SECONDARY_VM_EXEC_CONTROL\n  SET_FIELD 0x2034, 0, 0 ; TERTIARY_VM_EXEC_CONTROL\n`;
}
