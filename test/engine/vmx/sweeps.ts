/**
 * Single bits of fields, one at a time, in a state that enters: what they do is asked of the engine and of Bochs, with no
 * word of the vectors in between. Reserved bits, dependencies of controls and the widths of addresses all show.
 */
import type { CpuModel } from '../../../engine/cpu/model.js';
import { CHECK_NAMES } from '../../../engine/vmx/checks/table.js';
import { Bench } from './bench.js';
import type { OracleCase } from './oracle.js';
import { type Assignment, assignments } from './vectors.js';

/** Bits that flip: a range, or some. */
interface Sweep {
  readonly field: string;
  readonly bits: readonly number[];
  /** In the words of the vectors. */
  readonly setup?: string;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, bit) => bit);
const WORD = upTo(32);
const QUAD = upTo(64);
/** Where the width of an address, or being canonical, is decided; 39 to 45 differ between models. */
const ADDRESS = [...upTo(13), 31, 32, 46, 47, 48, 52, 62, 63];
/** The preemption timer ends guests that would run for ever; saving its value then needs nothing more. */
const TIMER = 6;
const SAVE_TIMER = 22;

const CONTROL_SWEEPS: readonly Sweep[] = [
  { field: 'PIN', bits: WORD.filter((bit) => bit !== TIMER) },
  { field: 'CPU', bits: WORD },
  { field: 'CPU2', bits: WORD },
  { field: 'CPU2', bits: WORD, setup: '@ept' },
  { field: 'CPU3', bits: QUAD, setup: '@tertiary' },
  { field: 'EXIT', bits: WORD.filter((bit) => bit !== SAVE_TIMER) },
  { field: 'SECONDARY_VM_EXIT_CONTROLS', bits: QUAD, setup: '@exit2' },
  { field: 'ENTRY', bits: WORD },
  { field: 'VM_FUNCTION_CONTROL', bits: QUAD, setup: '@ept CPU2+=2000' },
  { field: 'EPT_POINTER', bits: ADDRESS, setup: '@ept' },
];

const INJECTION_SWEEPS: readonly Sweep[] = [
  { field: 'INTR', bits: upTo(31), setup: 'INTR=80000020 RFLAGS=202' },
  { field: 'INTR', bits: upTo(31), setup: 'INTR=80000b0e' },
  { field: 'INTR', bits: upTo(31), setup: 'INTR=80000603 LEN=1' },
  { field: 'INTR', bits: upTo(31), setup: '@fred INTR=80000701 LEN=2' },
  { field: 'ERR', bits: WORD, setup: 'INTR=80000b0e' },
  { field: 'LEN', bits: WORD, setup: 'INTR=80000603 LEN=1' },
];

const loaded = (control: string, field: string, bits: readonly number[]): Sweep => ({ field, bits, setup: control });
const HOST_FRED = '@exit2 SECONDARY_VM_EXIT_CONTROLS=2';
const SPEC_CTRL = [...upTo(16), 31, 32, 63];
const HIGH = [0, 7, 8, 15, 31, 32, 63];

const LOADED_SWEEPS: readonly Sweep[] = [
  loaded('EXIT+=10000000', 'HOST_S_CET', [...upTo(16), ...ADDRESS.slice(13)]),
  loaded('EXIT+=10000000', 'HOST_SSP', ADDRESS),
  loaded('EXIT+=10000000', 'HOST_INTR_SSP_TABLE', ADDRESS),
  loaded('EXIT+=20000000', 'HOST_IA32_PKRS', HIGH),
  loaded('@exit2 SECONDARY_VM_EXIT_CONTROLS=4', 'HOST_IA32_SPEC_CTRL', SPEC_CTRL),
  loaded(HOST_FRED, 'HOST_IA32_FRED_CONFIG', ADDRESS),
  loaded(HOST_FRED, 'HOST_IA32_FRED_RSP2', ADDRESS),
  loaded(HOST_FRED, 'HOST_IA32_FRED_SSP3', ADDRESS),
  loaded('ENTRY+=100000', 'GUEST_S_CET', [...upTo(16), ...ADDRESS.slice(13)]),
  loaded('ENTRY+=100000', 'GUEST_SSP', ADDRESS),
  loaded('ENTRY+=100000 @32', 'GUEST_SSP', ADDRESS),
  loaded('ENTRY+=100000', 'GUEST_INTR_SSP_TABLE', ADDRESS),
  loaded('ENTRY+=400000', 'GUEST_IA32_PKRS', HIGH),
  loaded('ENTRY+=80000', 'GUEST_UINV', upTo(16)),
  loaded('ENTRY+=1000000', 'GUEST_IA32_SPEC_CTRL', SPEC_CTRL),
  loaded('ENTRY+=800000', 'GUEST_IA32_FRED_CONFIG', ADDRESS),
  loaded('ENTRY+=800000', 'GUEST_IA32_FRED_RSP1', ADDRESS),
  loaded('ENTRY+=800000', 'GUEST_IA32_FRED_SSP2', ADDRESS),
];

const REGISTER_SWEEPS: readonly Sweep[] = [
  { field: 'GUEST_CR0', bits: QUAD },
  { field: 'GUEST_CR4', bits: [...upTo(40), 63] },
  { field: 'GUEST_CR4', bits: [5, 13, 17, 23, 32], setup: '@32' },
  { field: 'RFLAGS', bits: QUAD, setup: '@fred @ring3' },
  { field: 'INT', bits: WORD, setup: 'RFLAGS=202' },
  { field: 'INT', bits: WORD, setup: '@fred @ring3 RFLAGS=202' },
  { field: 'GUEST_PENDING_DBG_EXCEPTIONS', bits: QUAD },
  { field: 'GUEST_ACTIVITY_STATE', bits: WORD },
  { field: 'GUEST_SS_AR_BYTES', bits: WORD, setup: '@fred' },
  { field: 'GUEST_CS_AR_BYTES', bits: WORD, setup: '@fred @ring3' },
  { field: 'GUEST_DR7', bits: [...upTo(4), ...upTo(12).map((bit) => bit + 28), 63] },
  { field: 'GUEST_IA32_PAT', bits: QUAD, setup: 'ENTRY+=4000' },
  { field: 'GUEST_IA32_EFER', bits: [...WORD, 32, 63], setup: 'ENTRY+=8000 GUEST_IA32_EFER=500' },
];

const SEGMENTS = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS', 'LDTR', 'TR'] as const;
const RIGHTS = upTo(18);
const LIMIT = [0, 11, 12, 19, 20, 31];
const BASE = [31, 32, 46, 47, 63];

const segmentSweeps = (setup: string): Sweep[] =>
  SEGMENTS.flatMap((name): Sweep[] => [
    { field: `GUEST_${name}_AR_BYTES`, bits: RIGHTS, setup },
    { field: `GUEST_${name}_SELECTOR`, bits: upTo(4), setup },
    { field: `GUEST_${name}_LIMIT`, bits: LIMIT, setup },
    { field: `GUEST_${name}_BASE`, bits: BASE, setup },
  ]);

/** Segments of a guest, of which every processor judges alike. */
export const SEGMENT_SWEEPS: readonly Sweep[] = [
  ...segmentSweeps(''),
  ...segmentSweeps('@32').filter(({ field }) => !/FS|GS|BASE|LIMIT/.test(field)),
  ...segmentSweeps('@ldtr').filter(({ field }) => field.includes('LDTR')),
  ...segmentSweeps('@unrestricted').filter(({ field }) => /[CSD]S_(AR|SEL)/.test(field)),
];

/** By table: each is an image of its own. */
export const SWEEPS = {
  controls: CONTROL_SWEEPS,
  injection: INJECTION_SWEEPS,
  loaded: LOADED_SWEEPS,
  registers: REGISTER_SWEEPS,
} as const;

/** The engine's word on an entry: the answer in the words of the image, and the first check that is broken. */
function judged(bench: Bench): { readonly answer: string; readonly id: string } {
  bench.told.length = 0;
  bench.run('vmlaunch');
  const check = bench.told.find(({ kind }) => kind === 'check');
  const id = CHECK_NAMES[Number(check?.fields.code ?? -1)]?.name ?? 'good';
  const failed = bench.told.find(({ kind }) => kind === 'vmfail' || kind === 'entry_failed');
  if (failed === undefined) return { answer: 'entered', id };
  if (failed.kind === 'vmfail') return { answer: `error ${failed.fields.code}`, id };
  return { answer: `exit ${(failed.fields.reason ?? 0n) & 0xffffn}:${failed.fields.qualification}`, id };
}

function flipped(processor: CpuModel, { field, setup = '' }: Sweep, bit: number): OracleCase {
  const bench = new Bench(processor).startVmx().fill();
  const before = assignments(setup);
  const apply = ({ field: name, operator, value }: Assignment): void => {
    if (name === undefined) return;
    const old = bench.field(name);
    bench.set(name, operator === '+=' ? old | value : operator === '-=' ? old & ~value : value);
  };
  before.forEach(apply);
  const [probe] = assignments(`${field}=0`);
  const isSet = probe?.field !== undefined && ((bench.field(probe.field) >> BigInt(bit)) & 1n) !== 0n;
  const mutation = `${field}${isSet ? '-=' : '+='}${(1n << BigInt(bit)).toString(16)}`;
  const words = [...before, ...assignments(mutation)];
  assignments(mutation).forEach(apply);
  const { answer, id } = judged(bench);
  return { name: `${id} ${setup === '' ? '' : `${setup} `}${mutation}`, permits: [answer], words };
}

/** A case for each bit of each sweep that the processor has the field of. */
export const sweepCases = (processor: CpuModel, sweeps: readonly Sweep[]): OracleCase[] =>
  sweeps.flatMap((sweep) => sweep.bits.map((bit) => flipped(processor, sweep, bit)));
