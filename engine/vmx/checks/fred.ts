/** Checks that came with flexible return and event delivery (FRED), of host and of guest state. */
import { ENTRY, EVENT_TYPE, EXIT2 } from '../controls.js';
import { F } from '../fields.js';
import { type Check, type CheckState, type Read, type Row, section } from './check.js';
import { CITE } from './manual.js';
import * as t from './terms.js';

const CR4_FRED = 32;
/** Bits 2, 5:4 and 11 of IA32_FRED_CONFIG. */
const CONFIG_RESERVED = 0x834;
const CS_LONG = 13;
const IOPL = 0x3000;
const STI_BLOCKING = 1;
const USER = 3;

const setsFred = (s: CheckState): boolean => t.bit(s, F.GUEST_CR4, CR4_FRED);
/** The guest will use FRED transitions: CR4.FRED and IA32_EFER.LMA will both be 1. */
export const usesFred = (s: CheckState): boolean => t.entry(s, ENTRY.ia32e) && setsFred(s);
/** What that reads. */
export const USES_FRED = [F.GUEST_CR4, ...t.ENTRY_CONTROLS] as const;
const privilege = (s: CheckState): number => (s.low(F.GUEST_SS_AR_BYTES) >>> 5) & 3;

interface Side {
  readonly name: 'host' | 'guest';
  readonly loads: (s: CheckState) => boolean;
  readonly reads: readonly Read[];
  readonly config: number;
  readonly stacks: readonly number[];
  readonly shadowStacks: readonly number[];
}

const host: Side = {
  name: 'host',
  loads: (s) => t.exit2(s, EXIT2.loadFred),
  reads: t.EXIT2_CONTROLS,
  config: F.HOST_IA32_FRED_CONFIG,
  stacks: [F.HOST_IA32_FRED_RSP1, F.HOST_IA32_FRED_RSP2, F.HOST_IA32_FRED_RSP3],
  shadowStacks: [F.HOST_IA32_FRED_SSP1, F.HOST_IA32_FRED_SSP2, F.HOST_IA32_FRED_SSP3],
};

const guest: Side = {
  name: 'guest',
  loads: (s) => t.entry(s, ENTRY.loadFred),
  reads: t.ENTRY_CONTROLS,
  config: F.GUEST_IA32_FRED_CONFIG,
  stacks: [F.GUEST_IA32_FRED_RSP1, F.GUEST_IA32_FRED_RSP2, F.GUEST_IA32_FRED_RSP3],
  shadowStacks: [F.GUEST_IA32_FRED_SSP1, F.GUEST_IA32_FRED_SSP2, F.GUEST_IA32_FRED_SSP3],
};

/** A pointer that "load FRED" loads: canonical, and aligned by some low bits. */
const pointer = ({ name, loads, reads }: Side, register: string, field: number, mask: number, bits: string): Row[] => [
  [
    `${name}.fred_${register}.canonical`,
    `${name} IA32_FRED_${register.toUpperCase()} is canonical`,
    [field, ...reads],
    (s) => !loads(s) || t.canonical(s, field),
  ],
  [
    `${name}.fred_${register}.${register === 'config' ? 'reserved' : 'aligned'}`,
    `bits ${bits} of ${name} IA32_FRED_${register.toUpperCase()} are 0`,
    [field, ...reads],
    (s) => !loads(s) || t.clear(s, field, mask),
  ],
];

const registers = (side: Side): Row[] => [
  ...pointer(side, 'config', side.config, CONFIG_RESERVED, '2, 5:4 and 11'),
  ...side.stacks.flatMap((field, i) => pointer(side, `rsp${i + 1}`, field, 0x3f, '5:0')),
  ...side.shadowStacks.flatMap((field, i) => pointer(side, `ssp${i + 1}`, field, 7, '2:0')),
];

const addressSpaceRow: Row = [
  'host.cr4.fred',
  'host CR4.FRED is 0 without "host address-space size"',
  [F.HOST_CR4, ...t.EXIT_CONTROLS],
  (s) => t.exit(s, 1 << 9) || !t.bit(s, F.HOST_CR4, CR4_FRED),
];

const guestRow: Row = [
  'guest.cr4.fred',
  'guest CR4.FRED is 0 without "IA-32e mode guest"',
  [F.GUEST_CR4, ...t.ENTRY_CONTROLS],
  (s) => t.entry(s, ENTRY.ia32e) || !setsFred(s),
];

const privilegeRows: readonly Row[] = [
  [
    'guest.ss.fred_dpl',
    'DPL of SS is 0 or 3 in a guest that uses FRED',
    [F.GUEST_SS_AR_BYTES, F.GUEST_CR4],
    (s) => !setsFred(s) || privilege(s) === 0 || privilege(s) === USER,
  ],
  [
    'guest.ss.fred_long',
    'CS.L is 1 where DPL of SS is 0, in a guest that uses FRED',
    [F.GUEST_SS_AR_BYTES, F.GUEST_CS_AR_BYTES, F.GUEST_CR4],
    (s) => !setsFred(s) || privilege(s) !== 0 || t.bit(s, F.GUEST_CS_AR_BYTES, CS_LONG),
  ],
  [
    'guest.ss.fred_iopl',
    'RFLAGS.IOPL is 0 where DPL of SS is 3, in a guest that uses FRED',
    [F.GUEST_SS_AR_BYTES, F.GUEST_RFLAGS, F.GUEST_CR4],
    (s) => !setsFred(s) || privilege(s) !== USER || t.clear(s, F.GUEST_RFLAGS, IOPL),
  ],
  [
    'guest.ss.fred_sti',
    'blocking by STI is not indicated where DPL of SS is 3, in a guest that uses FRED',
    [F.GUEST_SS_AR_BYTES, F.GUEST_INTERRUPTIBILITY_INFO, F.GUEST_CR4],
    (s) => !setsFred(s) || privilege(s) !== USER || t.clear(s, F.GUEST_INTERRUPTIBILITY_INFO, STI_BLOCKING),
  ],
];

/** Vectors of an injected event of type 7: a pending MTF exit, SYSCALL, SYSENTER. */
export const injectsSystemCall = (s: CheckState): boolean =>
  t.injectedType(s) === EVENT_TYPE.other && (t.injectedVector(s) === 1 || t.injectedVector(s) === 2);

export const fredHostChecks: readonly Check[] = [
  ...section('host', CITE.hostRegisters, registers(host)),
  ...section('host', CITE.addressSpace, [addressSpaceRow]),
];
export const fredGuestChecks: readonly Check[] = [
  ...section('guest', CITE.guestRegisters, [guestRow, ...registers(guest)]),
  ...section('guest', CITE.guestSegments, privilegeRows),
];
