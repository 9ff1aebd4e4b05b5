/** Every check of VMRUN: those of guest state, injection and nested paging here, others in files of their own. */
import { V } from '../fields.js';
import { svmApicChecks } from './apic.js';
import { type SvmCheck, type SvmCheckState, type SvmRow, svmSection } from './check.js';
import { svmEncryptedChecks } from './encrypted.js';
import { SVM_CITE as CITE } from './manual.js';
import { bit, clear, EVENT, EVENT_INJ_READ, eventType, eventVector, injects, inWidth, nested, sevEs } from './terms.js';

const CR0 = { PE: 0, WP: 16, NW: 29, CD: 30, PG: 31 } as const;
const CR4 = { PAE: 5, CET: 23 } as const;
const EFER = { LME: 8, LMA: 10, SVME: 12 } as const;
/** SCE, LME, LMA, NXE, SVME, LMSLE, FFXSR, TCE, MCOMMIT, INTWB, UAIE, AIBRSE. */
const EFER_DEFINED = 0x0036_fd01;
/** VME to UMIP, LA57, FSGSBASE, PCIDE, OSXSAVE, SMEP, SMAP, PKE, CET. */
const CR4_DEFINED = 0x00f7_1fff;
const CS_L = 9;
const CS_D = 10;
const RFLAGS_VM = 17;

/** SEV-ES guests bring U_CET of their own in the VMSA; others run with the processor's. */
const userShadowStack = (s: SvmCheckState): boolean => (sevEs(s) ? bit(s, V.U_CET, 0) : s.has('userShadowStack'));

const longPaged = (s: SvmCheckState): boolean => bit(s, V.EFER, EFER.LME) && bit(s, V.CR0, CR0.PG);

/** An address of a table of some bytes, bits 11:0 ignored, lies below the end of physical memory. */
function tableFits(s: SvmCheckState, field: number, bytes: number): boolean {
  const last = (s.low(field) & 0xffff_f000) + (s.low(field) > 0x7fff_ffff ? 2 ** 32 : 0) + bytes - 1;
  return s.high(field) + Math.floor(last / 2 ** 32) < 2 ** (s.physicalBits - 32);
}

/** The I/O permission map has 12 KiB, the MSR permission map 8 KiB. */
const IOPM_BYTES = 0x3000;
const MSRPM_BYTES = 0x2000;

const stateRows: readonly SvmRow[] = [
  [
    'svm.efer.svme',
    'EFER.SVME is 1',
    [V.EFER],
    (s) => bit(s, V.EFER, EFER.SVME),
    'the guest EFER was written whole, without SVME',
  ],
  [
    'svm.cr0.nw_needs_cd',
    'CR0.NW is 0 where CR0.CD is 0',
    [V.CR0],
    (s) => bit(s, V.CR0, CR0.CD) || !bit(s, V.CR0, CR0.NW),
  ],
  ['svm.cr0.high', 'bits 63:32 of CR0 are 0', [V.CR0], (s) => clear(s, V.CR0, 0)],
  [
    'svm.cr3.reserved',
    'CR3 has no bit beyond the physical-address width, in long mode',
    [V.CR3, V.EFER, V.CR0],
    (s) => !longPaged(s) || inWidth(s, V.CR3),
  ],
  ['svm.cr4.reserved', 'bits 63:24, 19 and 15:13 of CR4 are 0', [V.CR4], (s) => clear(s, V.CR4, ~CR4_DEFINED)],
  [
    'svm.cr4.supported',
    'CR4 has no bit of a feature that this processor lacks',
    [V.CR4],
    (s) => clear(s, V.CR4, CR4_DEFINED & ~s.cr4Supported, 0),
    'the guest was migrated from, or configured for, a processor with more features',
  ],
  ['svm.dr6.high', 'bits 63:32 of DR6 are 0', [V.DR6], (s) => clear(s, V.DR6, 0)],
  ['svm.dr7.high', 'bits 63:32 of DR7 are 0', [V.DR7], (s) => clear(s, V.DR7, 0)],
  [
    'svm.efer.reserved',
    'bits 63:22, 19, 16, 9 and 7:1 of EFER are 0',
    [V.EFER],
    (s) => clear(s, V.EFER, ~EFER_DEFINED),
    'EFER was set from outside (KVM_SET_SREGS) with a bit that no processor has',
  ],
  [
    'svm.efer.supported',
    'EFER has no bit of a feature that this processor lacks',
    [V.EFER],
    (s) => clear(s, V.EFER, EFER_DEFINED & ~s.eferSupported, 0),
  ],
  [
    'svm.efer.long_mode',
    'EFER.LMA and EFER.LME are 0 on a processor without long mode',
    [V.EFER, 'longMode'],
    (s) => (!bit(s, V.EFER, EFER.LMA) && !bit(s, V.EFER, EFER.LME)) || s.has('longMode'),
  ],
  [
    'svm.long_mode.pae',
    'CR4.PAE is 1 where EFER.LME and CR0.PG are 1',
    [V.CR4, V.EFER, V.CR0],
    (s) => !longPaged(s) || bit(s, V.CR4, CR4.PAE),
  ],
  [
    'svm.long_mode.protection',
    'CR0.PE is 1 where EFER.LME and CR0.PG are 1',
    [V.CR0, V.EFER],
    (s) => !longPaged(s) || bit(s, V.CR0, CR0.PE),
  ],
  [
    'svm.cs.l_and_d',
    'CS.L and CS.D are not both 1 where EFER.LME, CR0.PG and CR4.PAE are 1',
    [V.CS_ATTRIB, V.EFER, V.CR0, V.CR4],
    (s) => !longPaged(s) || !bit(s, V.CR4, CR4.PAE) || !bit(s, V.CS_ATTRIB, CS_L) || !bit(s, V.CS_ATTRIB, CS_D),
    'a 64-bit code segment was given with the default operand size of a 32-bit one',
  ],
  [
    'svm.vmrun_intercept',
    'the intercept of VMRUN is on',
    [V.INTERCEPT_WORD4],
    (s) => bit(s, V.INTERCEPT_WORD4, 0),
    'the VMCB was written without INTERCEPT_VMRUN',
  ],
  [
    'svm.iopm',
    'the I/O permission map (12 KiB) ends within the physical-address width',
    [V.IOPM_BASE_PA],
    (s) => tableFits(s, V.IOPM_BASE_PA, IOPM_BYTES),
  ],
  [
    'svm.msrpm',
    'the MSR permission map (8 KiB) ends within the physical-address width',
    [V.MSRPM_BASE_PA],
    (s) => tableFits(s, V.MSRPM_BASE_PA, MSRPM_BYTES),
  ],
  [
    'svm.asid',
    'the ASID is not 0',
    [V.ASID],
    (s) => s.low(V.ASID) !== 0,
    'ASID 0 is the host’s; the VMCB was not prepared',
  ],
  [
    'svm.s_cet.reserved',
    'bits 9:6 of S_CET are 0, on a processor with CET',
    [V.S_CET],
    (s) => (s.low(V.S_CET) & 0x3c0) === 0 || ((s.cr4Supported >>> CR4.CET) & 1) === 0,
  ],
  [
    'svm.cr4.cet_needs_wp',
    'CR0.WP is 1 where CR4.CET is 1',
    [V.CR4, V.CR0],
    (s) => !bit(s, V.CR4, CR4.CET) || bit(s, V.CR0, CR0.WP),
  ],
  [
    'svm.cr4.cet_in_v86',
    'U_CET.SH_STK_EN is 0 where CR4.CET and RFLAGS.VM are 1',
    [V.CR4, V.RFLAGS, V.NESTED_CTL, V.U_CET, 'userShadowStack'],
    (s) => !bit(s, V.CR4, CR4.CET) || !bit(s, V.RFLAGS, RFLAGS_VM) || !userShadowStack(s),
  ],
];

/** PAE paging outside long mode, whose four PDPEs VMRUN loads where it does not nest. */
const loadsPdpes = (s: SvmCheckState): boolean =>
  !nested(s) && bit(s, V.CR0, CR0.PG) && bit(s, V.CR4, CR4.PAE) && !bit(s, V.EFER, EFER.LME);
/** Bits 2:1 and 8:5 of a PDPE. */
const PDPE_RESERVED = 0x1e6;

const pdpeRows: readonly SvmRow[] = [0, 1, 2, 3].map(
  (i): SvmRow => [
    `svm.pdpe${i}.reserved`,
    `reserved bits of PDPE ${i} are 0 where it is present, with PAE paging and without nested paging`,
    [V.CR3, V.CR0, V.CR4, V.EFER, V.NESTED_CTL, 'memory'],
    (s) => {
      if (!loadsPdpes(s)) return true;
      const at = ((s.low(V.CR3) & 0xffff_ffe0) >>> 0) + 8 * i;
      const low = s.memory(at, 0);
      return (
        (low & 1) === 0 ||
        ((low & PDPE_RESERVED) === 0 && s.memory(at + 4, 0) >>> Math.min(31, s.physicalBits - 32) === 0)
      );
    },
  ],
);

const TYPES: ReadonlySet<number> = new Set(Object.values(EVENT));
const NMI_VECTOR = 2;
const LAST_EXCEPTION = 31;
/** Vectors below 32 that the manual reserves: 9 was the coprocessor segment overrun. */
const NO_EXCEPTION = new Set([9, 15, 20, 22, 23, 24, 25, 26, 27, 31]);

const isException = (s: SvmCheckState): boolean => eventType(s) === EVENT.exception;

const injectionRows: readonly SvmRow[] = [
  [
    'svm.injection.type',
    'an injected event has type 0, 2, 3 or 4',
    EVENT_INJ_READ,
    (s) => !injects(s) || TYPES.has(eventType(s)),
  ],
  [
    'svm.injection.vector',
    'an injected exception has a vector of at most 31 other than 2 (NMI)',
    EVENT_INJ_READ,
    (s) => !injects(s) || !isException(s) || (eventVector(s) <= LAST_EXCEPTION && eventVector(s) !== NMI_VECTOR),
  ],
  [
    'svm.injection.reserved_vector',
    'an injected exception does not have a vector that the manual reserves',
    EVENT_INJ_READ,
    (s) => !injects(s) || !isException(s) || !NO_EXCEPTION.has(eventVector(s)),
  ],
];

/** #OF and #BR, of INTO and BOUND. */
const NOT_IN_64_BIT = new Set([4, 5]);

/** As processors and kvm-unit-tests (svm_event_injection) read "a vector that does not correspond to an exception". */
const injectionRowsByMode: readonly SvmRow[] = [
  [
    'svm.injection.bound',
    'an exception injected in 64-bit mode is neither #OF (4) nor #BR (5), which no instruction raises there',
    [...EVENT_INJ_READ, V.CS_ATTRIB, V.EFER, V.CR0],
    (s) =>
      !injects(s) ||
      !isException(s) ||
      !NOT_IN_64_BIT.has(eventVector(s)) ||
      !longPaged(s) ||
      !bit(s, V.CS_ATTRIB, CS_L),
    'an exception of a 32-bit program was injected after the guest had gone to 64-bit mode',
  ],
];

/** Eight memory types, none of them 2, 3 or above 7. */
function validPat(s: SvmCheckState): boolean {
  for (const word of [s.low(V.G_PAT), s.high(V.G_PAT)]) {
    if (word & 0xf8f8_f8f8 || (word >>> 1) & ~(word >>> 2) & 0x0101_0101) return false;
  }
  return true;
}

const hostRows: readonly SvmRow[] = [
  [
    'svm.nested_paging.host',
    'the host runs with CR0.PG where nested paging is on',
    [V.NESTED_CTL, 'hostPaging'],
    (s) => !nested(s) || s.has('hostPaging'),
  ],
];
const nestedRows: readonly SvmRow[] = [
  [
    'svm.nested_cr3.reserved',
    'nCR3 has no bit beyond the physical-address width, with nested paging',
    [V.NESTED_CR3, V.NESTED_CTL],
    (s) => !nested(s) || inWidth(s, V.NESTED_CR3),
  ],
  [
    'svm.g_pat',
    'each byte of G_PAT is 0, 1, 4, 5, 6 or 7, with nested paging',
    [V.G_PAT, V.NESTED_CTL],
    (s) => !nested(s) || validPat(s),
    'a VMCB whose G_PAT was never written is valid (all 0); a value from a migration stream may not be',
  ],
];

const TLB_COMMANDS = new Set([0, 1, 3, 7]);

export const SVM_CHECKS: readonly SvmCheck[] = [
  ...svmSection(CITE.consistency, stateRows),
  ...svmSection(CITE.vmrun, pdpeRows),
  ...svmSection(CITE.injection, injectionRows),
  ...svmSection(CITE.injection, injectionRowsByMode, { optional: true }),
  ...svmSection(CITE.enablingNested, hostRows),
  ...svmSection(CITE.nested, nestedRows),
  ...svmApicChecks,
  ...svmEncryptedChecks,
  ...svmSection(
    CITE.tlb,
    [
      [
        'svm.tlb_control',
        'TLB_CONTROL is 0, 1, 3 or 7',
        [V.TLB_CONTROL],
        (s) => TLB_COMMANDS.has(s.low(V.TLB_CONTROL)),
      ],
    ],
    { optional: true },
  ),
];
