/**
 * VMRUN tried by an image on Bochs (model ryzen), which is another implementation of the manual: what the image writes,
 * and what our table of checks says of it. The engine does not run VMRUN; the verdict is the table's over the VMCB.
 */
import { join } from 'node:path';
import type { SvmCheck, SvmCheckState, SvmFact } from '../../../engine/svm/checks/check.js';
import { SVM_CHECKS } from '../../../engine/svm/checks/table.js';
import { VMCB_FIELDS, type VmcbFieldName } from '../../../engine/svm/fields.js';
import { inPackage } from '../../../traces/guests/guest.js';
import { runUnderBochs } from '../../bench/bochs.js';
import { assemble } from '../../nasm.js';

type Values = { readonly [name in VmcbFieldName]?: bigint };

/** A 64-bit guest that ends at its first instruction. The image itself writes addresses: maps, CR3, nCR3, RIP. */
const BASE: Values = {
  INTERCEPT_EXCEPTIONS: 0xffff_ffffn,
  INTERCEPT_WORD3: 0xffff_ffffn,
  INTERCEPT_WORD4: 0x7fn,
  ASID: 1n,
  ...Object.fromEntries(
    ['ES', 'SS', 'DS', 'FS', 'GS'].flatMap((name) => [
      [`${name}_SELECTOR`, 0x10n],
      [`${name}_ATTRIB`, 0xc93n],
      [`${name}_LIMIT`, 0xffff_ffffn],
    ]),
  ),
  CS_SELECTOR: 0x18n,
  CS_ATTRIB: 0xa9bn,
  CS_LIMIT: 0xffff_ffffn,
  EFER: 0x1500n,
  CR0: 0x8000_0031n,
  CR4: 0x20n,
  DR6: 0xffff_0ff0n,
  DR7: 0x400n,
  RFLAGS: 2n,
  G_PAT: 0x0007_0406_0007_0406n,
};
/** Stand-ins for what the image writes. */
const PLACED: Values = {
  IOPM_BASE_PA: 0x20_0000n,
  MSRPM_BASE_PA: 0x20_0000n,
  CR3: 0x20_1000n,
  NESTED_CR3: 0x20_1000n,
  RIP: 0x10_0000n,
};

/** CR3 points to the PML4 of the image; as a PDPE, its first entry has reserved bits. */
const PML4_ENTRY = 7;

const ENTERED = 'entered';
const INVALID = 'VMEXIT_INVALID';
type SvmAnswer = typeof ENTERED | typeof INVALID;

const NP: Values = { NESTED_CTL: 1n };
const LEGACY: Values = { EFER: 0x1000n };
const inject = (type: bigint, vector: bigint): Values => ({ EVENT_INJ: 0x8000_0000n | (type << 8n) | vector });
const bits = (name: VmcbFieldName, numbers: readonly number[], extra: Values = {}): Values[] =>
  numbers.map((n) => ({ ...extra, [name]: (extra[name] ?? BASE[name] ?? 0n) | (1n << BigInt(n)) }));

const upTo = (count: number): number[] => Array.from({ length: count }, (_, bit) => bit);
/** Beyond the width of every model. */
const HIGHEST = upTo(64).slice(52);

/** Single bits, each in a VMCB that VMRUN accepts. */
const SWEEPS: readonly Values[] = [
  ...bits('EFER', upTo(64)),
  ...bits('CR0', upTo(64)),
  ...bits('CR4', upTo(64)),
  ...bits('DR6', upTo(64).slice(32)),
  ...bits('DR7', upTo(64).slice(32)),
  ...bits('CS_ATTRIB', upTo(12)),
  ...bits('EVENT_INJ', upTo(64), inject(3n, 13n)),
  ...bits('G_PAT', upTo(64), NP),
  ...bits('IOPM_BASE_PA', HIGHEST),
  ...bits('MSRPM_BASE_PA', HIGHEST),
  ...bits('NESTED_CR3', HIGHEST, NP),
];

/** What is changed, a case each. */
const CHANGES: readonly Values[] = [
  {},
  NP,
  LEGACY,
  { EFER: 0x500n },
  { EFER: 0n },
  ...bits('EFER', [1, 7, 9, 16, 19, 22, 31, 32, 63]),
  ...bits('EFER', [0, 11, 13, 14]),
  { CR0: 0xa000_0031n },
  { CR0: 0xe000_0031n },
  { CR0: 0xc000_0031n },
  ...bits('CR0', [32, 63]),
  { CR0: 0x31n },
  { CR0: 0x30n },
  { CR4: 0n },
  { CR4: 0n, ...LEGACY },
  { CR4: 0n, CR0: 0x31n },
  ...bits('CR4', [13, 15, 19, 24, 31, 32, 63]),
  ...bits('CR4', [0, 4, 7, 9, 10, 18, 20, 21]),
  ...bits('CR3', [52, 63]),
  ...bits('CR3', [52, 63], NP),
  ...bits('DR6', [32, 63]),
  ...bits('DR7', [32, 63]),
  ...bits('DR6', [12, 16]),
  ...bits('DR7', [11, 14]),
  { CS_ATTRIB: 0xe9bn },
  { CS_ATTRIB: 0xc9bn },
  { CS_ATTRIB: 0x89bn },
  { CS_ATTRIB: 0xe9bn, ...LEGACY },
  { CS_ATTRIB: 0xe9bn, CR0: 0x31n },
  { INTERCEPT_WORD4: 0x7en },
  { INTERCEPT_WORD4: 1n },
  { ASID: 0n },
  { ASID: 2n },
  { ASID: 0n, ...NP },
  ...bits('IOPM_BASE_PA', [52, 63]),
  ...bits('MSRPM_BASE_PA', [52, 63]),
  { IOPM_BASE_PA: 0x20_0fffn },
  { MSRPM_BASE_PA: 0x20_0fffn },
  ...bits('NESTED_CR3', [52, 63], NP),
  ...bits('NESTED_CR3', [52, 63]),
  ...[2n, 3n, 8n, 0x80n].map((type): Values => ({ G_PAT: type, ...NP })),
  ...[0n, 1n, 4n, 5n, 6n, 7n].map((type): Values => ({ G_PAT: type << 56n, ...NP })),
  { G_PAT: 2n << 56n, ...NP },
  { G_PAT: 2n },
  ...[0n, 1n, 2n, 3n, 4n, 5n, 6n, 7n].map((type) => inject(type, type === 3n ? 13n : 0x20n)),
  ...Array.from({ length: 34 }, (_, vector) => inject(3n, BigInt(vector))),
  inject(3n, 0xffn),
  inject(2n, 2n),
  { EVENT_INJ: 0x120n },
  { EVENT_INJ: 0x302n },
  // Two at once.
  { ASID: 0n, INTERCEPT_WORD4: 0n },
  { EFER: 0x500n, CR0: 0xa000_0031n },
  { CR4: 0n, CS_ATTRIB: 0xe9bn },
  { DR6: 1n << 32n, DR7: 1n << 32n },
  { EFER: 0x500n, ...inject(1n, 0n) },
  { CS_ATTRIB: 0xe9bn, ASID: 0n },
  ...SWEEPS,
];

export interface SvmOracleCase {
  readonly name: string;
  readonly values: Values;
  /** Checks that our table finds broken. */
  readonly broken: readonly string[];
  /** Only such checks are broken as the manual leaves to the processor. */
  readonly isOptional: boolean;
}

/** Where Bochs is known to be wrong about a case, and the manual's words. */
const WRONG: readonly { readonly line: RegExp; readonly bochs: SvmAnswer; readonly why: string }[] = [
  {
    line: /^(NESTED_CTL=1,)?CR3=\S+$/,
    bochs: ENTERED,
    why: '"Any MBZ bit of CR3 is set", among the illegal states of 15.5.1. Bochs does not look at CR3.',
  },
  {
    line: /^CS_ATTRIB=e9b,CR0=31$/,
    bochs: INVALID,
    why: '"EFER.LME, CR0.PG, CR4.PAE, CS.L, and CS.D are all non-zero": Bochs does not ask for the first three.',
  },
  {
    line: /^EVENT_INJ=800003(09|0f|14|1[6-9a-cf])$/,
    bochs: ENTERED,
    why:
      '"TYPE = 3 (exception) has been specified with a vector that does not correspond to an exception": Bochs looks ' +
      'for 2 and for those above 31 alone.',
  },
];

const FACTS: ReadonlySet<SvmFact> = new Set<SvmFact>(['longMode', 'hostPaging', 'host64']);
const NAMES = new Map(VMCB_FIELDS.map(({ offset, name }) => [offset, name]));

/** Bochs's ryzen: 40 bits of physical address; CR4 and EFER of its first processors, which have no PCIDs. */
function brokenBy(change: Values): readonly SvmCheck[] {
  const values: Values = { ...BASE, ...PLACED, ...change };
  const value = (field: number): bigint => values[NAMES.get(field) as VmcbFieldName] ?? 0n;
  const state: SvmCheckState = {
    low: (field) => Number(value(field) & 0xffff_ffffn),
    high: (field) => Number(value(field) >> 32n),
    physicalBits: 40,
    cr4Supported: 0x0035_07ff,
    eferSupported: 0x5d01,
    encryptedGuests: 0,
    firstSevAsid: 0,
    has: (fact) => FACTS.has(fact),
    memory: (low) => (low === Number(PLACED.CR3) ? PML4_ENTRY : 0),
  };
  return SVM_CHECKS.filter((check) => !check.holds(state));
}

const nameOf = (change: Values): string =>
  Object.entries(change)
    .map(([field, value]) => `${field}=${value.toString(16)}`)
    .join(',') || 'good';

/** Every case once: a bit that is set anyway changes nothing. */
export function svmOracleCases(): SvmOracleCase[] {
  const unlike = new Map(CHANGES.map((values) => [nameOf(values), values]));
  return [...unlike].map(([name, values]) => {
    const broken = brokenBy(values);
    const isOptional = broken.every(({ optional }) => optional);
    return { name, values, broken: broken.map(({ id }) => id), isOptional };
  });
}

/** What the table permits as the answer of a case: both, where the manual leaves a check to the processor. */
export const svmAnswers = ({ broken, isOptional }: SvmOracleCase): readonly SvmAnswer[] => {
  if (broken.length === 0) return [ENTERED];
  return isOptional ? [ENTERED, INVALID] : [INVALID];
};

/** The manual's words against an answer of Bochs, or undefined. */
export const svmCorrection = ({ name }: SvmOracleCase, bochs: string): string | undefined =>
  WRONG.find(({ line, bochs: answer }) => line.test(name) && bochs === answer)?.why;

/** The image, its processor and its answers. */
export const SVM_ORACLE_FOLDER = inPackage('test', 'engine', 'svm', 'oracle');
export const SVM_IMAGE = join(SVM_ORACLE_FOLDER, 'vmrun.img');
export const SVM_VECTORS = inPackage('test', 'engine', 'svm', 'vectors', 'vmrun.txt');

/** The Bochs whose answers are committed, and its model. */
export const SVM_VERSION = '2.7';
export const SVM_MODEL = 'ryzen';

export const svmAssembled = (): Uint8Array =>
  assemble(SVM_ORACLE_FOLDER, 'vmrun.asm', ['-f', 'bin', '-I', `${inPackage('traces', 'guests')}/`]);

/** What Bochs prints of an image. */
export const svmConsole = async (image: Uint8Array): Promise<string> =>
  (await runUnderBochs(image, 'vmrun', { model: SVM_MODEL })).console;

const lines = (values: Values): string =>
  VMCB_FIELDS.flatMap(({ name, offset, bytes }) => {
    const value = values[name];
    if (value === undefined) return [];
    return `  SET_FIELD 0x${offset.toString(16)}, ${bytes}, 0x${value.toString(16)} ; ${name}\n`;
  }).join('');

export const svmBaseInclude = (): string => lines(BASE);
export const svmCasesInclude = (): string =>
  svmOracleCases()
    .map(({ name, values }) => `  CASE "${name}"\n${lines(values)}  END_CASE\n\n`)
    .join('');
