/** Makes the tables of oracle/entries.asm from the cases of vectors/checks.txt. */
import { skylakeVmx } from '../../../engine/vmx/capabilities.js';
import { CHECKS } from '../../../engine/vmx/checks/table.js';
import { FIELDS, type FieldName } from '../../../engine/vmx/fields.js';
import { Bench, modelWith } from './bench.js';
import { type Assignment, assignments, type Case, cases } from './vectors.js';

const OPERATIONS: { readonly [operator in Assignment['operator']]: string } = {
  '=': '0',
  '+=': 'OR_BITS',
  '-=': 'CLEAR_BITS',
};

const encodingOf = (name: FieldName): number => FIELDS.find((field) => field.name === name)?.encoding ?? 0;
const literal = (value: bigint): string => `0x${value.toString(16)}`;

/** Bit 39 is the first beyond the width of the test's model; 46 is beyond that of every model. */
const WIDTH = 0x80_0000_0000n;
const BEYOND = 0x4000_0000_0000n;
/** The test's model maps nothing at its EPT pointer; the image has a page that is empty indeed. */
const EPT_PAGE = 0x5000n;

function operandOf({ field, value }: Assignment): string {
  if (field === 'EPT_POINTER' && (value & ~0xfffn) === EPT_PAGE) return `empty_page + ${literal(value & 0xfffn)}`;
  if (value >= WIDTH && value < 2n * WIDTH) return literal((value & (WIDTH - 1n)) | BEYOND);
  return literal(value);
}

/** State that the image cannot have: a 32-bit host, SMM, words of memory at the places of the test. */
const isPortable = (each: Assignment): boolean =>
  each.memory === undefined && each.preset !== 'host32' && each.preset !== 'smm';

function apply(bench: Bench, words: readonly Assignment[]): void {
  for (const { field, operator, value } of words) {
    if (field === undefined) continue;
    const old = bench.field(field);
    bench.set(field, operator === '+=' ? old | value : operator === '-=' ? old & ~value : value);
  }
}

/** How the model of the engine ends an entry with these assignments, in the words of the image. */
function answerOf(words: readonly Assignment[]): string {
  const bench = new Bench(modelWith(skylakeVmx)).startVmx().fill();
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
  /** What the manual says of it, as the image prints it. */
  readonly answer: string;
  readonly words: readonly Assignment[];
}

const expected = ({ answer }: Case): string => {
  const [code, qualification = '0'] = answer.split(':');
  return code === '7' || code === '8' ? `error ${code}` : `exit ${code}:${qualification}`;
};

/** Cases that the processor model of the engine can show: those that need more than it has would all be error 7. */
export function oracleCases(): OracleCase[] {
  const before = new Map<string, OracleCase>();
  const after: OracleCase[] = [];
  for (const each of cases) {
    // Models differ in the exact width, at which the end of an area is judged, and in whether they have MTF.
    if (each.answer === '-' || each.ids[0]?.endsWith('.end') || each.mutation.includes('INTR=800007')) continue;
    const setup = assignments(each.setup);
    const words = [...setup, ...assignments(each.mutation)];
    if (!words.every(isPortable)) continue;
    // Only where the setup enters on this model does the mutation alone decide.
    const quiet = setup.map((word) => (word.field === 'VM_ENTRY_INTR_INFO_FIELD' ? { ...word, value: 0n } : word));
    if (answerOf(quiet) !== 'entered') continue;
    const stage = CHECKS.find(({ id }) => id === each.ids[0])?.stage;
    if (answerOf(words) !== expected(each)) continue;
    after.push({ name: `${each.ids[0]} ${each.mutation}`.trim(), answer: expected(each), words });
    // Areas that an exit would load, states that nothing ends, a pending MTF exit, which not every model takes, and a
    // linked VMCS, which the image does not have.
    const harmless = !/MSR_(LOAD|STORE)|ACTIVITY_STATE=[23]|INTR=80000700|LINK_POINTER/.test(each.setup);
    if (each.setup !== '' && stage !== 'host' && harmless && !before.has(each.setup)) {
      before.set(each.setup, { name: `good ${each.setup}`, answer: 'entered', words: setup });
    }
  }
  return [...before.values(), ...after];
}

const line = (word: Assignment): string[] =>
  word.field === undefined
    ? []
    : [
        `  SET_FIELD ${literal(BigInt(encodingOf(word.field)))}, ${OPERATIONS[word.operator]}, ${operandOf(word)} ; ${word.field}`,
      ];

/** oracle/cases.inc */
export const casesInclude = (): string =>
  oracleCases()
    .map(({ name, words }) => [`  CASE "${name}"`, ...words.flatMap(line), '  END_CASE', ''].join('\n'))
    .join('');

/** Where the image differs from the bench: a guest without translations, which soon gives up, or its timer ends it. */
const PLACED: { readonly [name: string]: string } = { GUEST_CR3: 'empty_page', VMX_PREEMPTION_TIMER_VALUE: '0x1000' };

/** oracle/base.inc: what the bench fills its VMCS with, but for controls and host state, which are the image's own. */
export function baseInclude(): string {
  const bench = new Bench(modelWith(skylakeVmx)).startVmx().fill();
  const own = /^(HOST_(?!IA32|S_CET|SSP|INTR)|.*_VM_EXEC_CONTROL$|VM_EXIT_CONTROLS$|VM_ENTRY_CONTROLS$)/;
  const fields = FIELDS.filter(({ name, type }) => type !== 'data' && !own.test(name));
  const values = fields.map(({ name, encoding }) => {
    return `  SET_FIELD ${literal(BigInt(encoding))}, 0, ${PLACED[name] ?? literal(bench.field(name))} ; ${name}\n`;
  });
  return `${values.join('')}  SET_FIELD 0x401e, 0, 0 ; SECONDARY_VM_EXEC_CONTROL\n`;
}
