/** Checks on guest segment registers, made for each register from one description of what it may hold. */
import { ENTRY, SECONDARY } from '../controls.js';
import { F, GUEST_SEGMENTS, type SegmentName } from '../fields.js';
import { type Check, type CheckState, type Read, type Row, section } from './check.js';
import { CITE } from './manual.js';
import * as t from './terms.js';

const UNUSABLE = 0x1_0000;
const DATA_RW_ACCESSED = 3;
const BUSY_TSS16 = 3;
const BUSY_TSS = 11;
const LDT = 2;
const RIGHTS_V86 = 0xf3;
const LIMIT_V86 = 0xffff;

type Segment = (typeof GUEST_SEGMENTS)[number];
type Condition = (s: CheckState) => boolean;

const find = (name: SegmentName): Segment => {
  const found = GUEST_SEGMENTS.find((segment) => segment.name === name);
  if (!found) throw new RangeError(name);
  return found;
};
const CS = find('CS');
const SS = find('SS');

const virtual8086: Condition = (s) => t.bit(s, F.GUEST_RFLAGS, 17);
const protectedMode: Condition = (s) => t.bit(s, F.GUEST_CR0, 0);
const unrestricted: Condition = (s) => t.secondary(s, SECONDARY.unrestricted);
const ia32e: Condition = (s) => t.entry(s, ENTRY.ia32e);

const type = (s: CheckState, { rights }: Segment): number => s.low(rights) & 15;
const dpl = (s: CheckState, { rights }: Segment): number => (s.low(rights) >>> 5) & 3;
const rpl = (s: CheckState, { selector }: Segment): number => s.low(selector) & 3;
const usable = (s: CheckState, { rights }: Segment): boolean => (s.low(rights) & UNUSABLE) === 0;

/** What of a register is checked outside virtual-8086 mode: CS always, others where they are usable. */
const judged = (s: CheckState, segment: Segment): boolean => (segment === CS || usable(s, segment)) && !virtual8086(s);

const id = (segment: Segment, what: string): string => `guest.${segment.name.toLowerCase()}.${what}`;

/** A rule on the access rights of a segment that is judged. */
const rule = (
  segment: Segment,
  what: string,
  says: string,
  reads: readonly Read[],
  holds: Condition,
  causes?: string,
): Row => {
  const subject = segment === CS ? 'CS' : `a usable ${segment.name}`;
  const all: readonly Read[] = [segment.rights, F.GUEST_RFLAGS, ...reads];
  const row = [
    id(segment, what),
    `${says} (${subject})`,
    all,
    (s: CheckState) => !judged(s, segment) || holds(s),
  ] as const;
  return causes === undefined ? row : [...row, causes];
};

/** Virtual-8086 mode fixes base, limit and rights of the six registers. */
const virtualRows = (segment: Segment): Row[] => [
  [
    id(segment, 'v86_base'),
    `in virtual-8086 mode the ${segment.name} base is the selector shifted left by 4`,
    [segment.base, segment.selector, F.GUEST_RFLAGS],
    (s) => !virtual8086(s) || (s.low(segment.base) === s.low(segment.selector) << 4 && t.below4G(s, segment.base)),
  ],
  [
    id(segment, 'v86_limit'),
    `in virtual-8086 mode the ${segment.name} limit is FFFFH`,
    [segment.limit, F.GUEST_RFLAGS],
    (s) => !virtual8086(s) || s.low(segment.limit) === LIMIT_V86,
  ],
  [
    id(segment, 'v86_rights'),
    `in virtual-8086 mode the ${segment.name} access rights are F3H`,
    [segment.rights, F.GUEST_RFLAGS],
    (s) => !virtual8086(s) || s.low(segment.rights) === RIGHTS_V86,
  ],
];

/** Bits 11:0 of the limit other than all ones need G = 0; bits 31:20 other than 0 need G = 1. */
function granularityFits(s: CheckState, { limit, rights }: Segment): boolean {
  const granular = t.bit(s, rights, 15);
  return granular ? (s.low(limit) & 0xfff) === 0xfff : s.low(limit) >>> 20 === 0;
}

const granularity = (segment: Segment, when: Condition, reads: readonly Read[]): Row => [
  id(segment, 'granularity'),
  `G of ${segment.name} fits its limit: 0 unless limit bits 11:0 are all 1, 1 if any of bits 31:20 is 1`,
  [segment.rights, segment.limit, ...reads],
  (s) => !when(s) || granularityFits(s, segment),
  'the limit was given in bytes with G = 1, or in full with G = 0',
];

const reservedRights = (segment: Segment, when: Condition, reads: readonly Read[]): Row[] => [
  [
    id(segment, 'reserved_low'),
    `bits 11:8 of the ${segment.name} access rights are 0`,
    [segment.rights, ...reads],
    (s) => !when(s) || t.clear(s, segment.rights, 0xf00),
  ],
  [
    id(segment, 'reserved_high'),
    `bits 31:17 of the ${segment.name} access rights are 0`,
    [segment.rights, ...reads],
    (s) => !when(s) || t.clear(s, segment.rights, 0xfffe_0000),
  ],
];

const baseCanonical = (segment: Segment, when: Condition = () => true, reads: readonly Read[] = []): Row => [
  id(segment, 'base'),
  `the ${segment.name} base is canonical`,
  [segment.base, ...reads],
  (s) => !when(s) || t.canonical(s, segment.base),
];

const baseBelow4G = (segment: Segment): Row => [
  id(segment, 'base'),
  segment === CS ? 'bits 63:32 of the CS base are 0' : `bits 63:32 of the base of a usable ${segment.name} are 0`,
  [segment.base, segment.rights],
  (s) => t.below4G(s, segment.base) || (segment !== CS && !usable(s, segment)),
];

/** S, P, reserved bits and granularity: the same for the six registers. */
const commonRows = (segment: Segment): Row[] => [
  rule(segment, 's', 'S is 1', [], (s) => t.bit(s, segment.rights, 4)),
  rule(segment, 'present', 'P is 1', [], (s) => t.bit(s, segment.rights, 7)),
  ...reservedRights(segment, (s) => judged(s, segment), [F.GUEST_RFLAGS]),
  granularity(segment, (s) => judged(s, segment), [F.GUEST_RFLAGS]),
];

const CODE_TYPES = new Set([9, 11, 13, 15]);

const codeRows: readonly Row[] = [
  baseBelow4G(CS),
  rule(
    CS,
    'type',
    'the type is 9, 11, 13 or 15, or 3 in an unrestricted guest',
    t.SECONDARY_CONTROLS,
    (s) => CODE_TYPES.has(type(s, CS)) || (type(s, CS) === DATA_RW_ACCESSED && unrestricted(s)),
  ),
  rule(CS, 'dpl_data', 'DPL is 0 with type 3', [], (s) => type(s, CS) !== DATA_RW_ACCESSED || dpl(s, CS) === 0),
  rule(
    CS,
    'dpl_nonconforming',
    'DPL equals that of SS with type 9 or 11',
    [SS.rights],
    (s) => (type(s, CS) !== 9 && type(s, CS) !== 11) || dpl(s, CS) === dpl(s, SS),
  ),
  rule(
    CS,
    'dpl_conforming',
    'DPL is not greater than that of SS with type 13 or 15',
    [SS.rights],
    (s) => (type(s, CS) !== 13 && type(s, CS) !== 15) || dpl(s, CS) <= dpl(s, SS),
  ),
  rule(
    CS,
    'd_with_l',
    'D/B is 0 with L, with "IA-32e mode guest"',
    t.ENTRY_CONTROLS,
    (s) => !ia32e(s) || !t.bit(s, CS.rights, 13) || !t.bit(s, CS.rights, 14),
  ),
  ...commonRows(CS),
];

const stackRows: readonly Row[] = [
  [
    'guest.ss.rpl',
    'RPL of SS equals that of CS, outside virtual-8086 mode, without "unrestricted guest"',
    [SS.selector, CS.selector, F.GUEST_RFLAGS, ...t.SECONDARY_CONTROLS],
    (s) => virtual8086(s) || unrestricted(s) || rpl(s, SS) === rpl(s, CS),
  ],
  baseBelow4G(SS),
  rule(SS, 'type', 'the type is 3 or 7', [], (s) => type(s, SS) === 3 || type(s, SS) === 7),
  [
    'guest.ss.dpl_rpl',
    'DPL of SS equals its RPL, without "unrestricted guest"',
    [SS.rights, SS.selector, F.GUEST_RFLAGS, ...t.SECONDARY_CONTROLS],
    (s) => virtual8086(s) || unrestricted(s) || dpl(s, SS) === rpl(s, SS),
  ],
  [
    'guest.ss.dpl_zero',
    'DPL of SS is 0 where the type of CS is 3 or CR0.PE is 0',
    [SS.rights, CS.rights, F.GUEST_CR0, F.GUEST_RFLAGS],
    (s) => virtual8086(s) || dpl(s, SS) === 0 || (type(s, CS) !== DATA_RW_ACCESSED && protectedMode(s)),
  ],
  ...commonRows(SS),
];

const dataRows = (segment: Segment): Row[] => [
  segment.name === 'FS' || segment.name === 'GS' ? baseCanonical(segment) : baseBelow4G(segment),
  rule(segment, 'accessed', 'the type has bit 0 set (accessed)', [], (s) => (type(s, segment) & 1) !== 0),
  rule(
    segment,
    'readable',
    'a code segment is readable: bit 1 of the type is set with bit 3',
    [],
    (s) => (type(s, segment) & 0b1010) !== 0b1000,
  ),
  rule(
    segment,
    'dpl',
    'DPL is not less than RPL with type 0 to 11, without "unrestricted guest"',
    [segment.selector, ...t.SECONDARY_CONTROLS],
    (s) => unrestricted(s) || type(s, segment) > 11 || dpl(s, segment) >= rpl(s, segment),
  ),
  ...commonRows(segment),
];

const TR = find('TR');
const LDTR = find('LDTR');
const always: Condition = () => true;

const taskRows: readonly Row[] = [
  ['guest.tr.ti', 'TI of TR is 0', [TR.selector], (s) => t.clear(s, TR.selector, 4)],
  baseCanonical(TR),
  [
    'guest.tr.type',
    'the type of TR is 11, or 3 without "IA-32e mode guest"',
    [TR.rights, ...t.ENTRY_CONTROLS],
    (s) => type(s, TR) === BUSY_TSS || (type(s, TR) === BUSY_TSS16 && !ia32e(s)),
    'an available TSS (type 9) was given: software must set the busy bit itself',
  ],
  ['guest.tr.s', 'S of TR is 0', [TR.rights], (s) => !t.bit(s, TR.rights, 4)],
  ['guest.tr.present', 'P of TR is 1', [TR.rights], (s) => t.bit(s, TR.rights, 7)],
  ...reservedRights(TR, always, []),
  granularity(TR, always, []),
  ['guest.tr.usable', 'TR is usable', [TR.rights], (s) => usable(s, TR)],
];

const localUsable: Condition = (s) => usable(s, LDTR);
const localRows: readonly Row[] = [
  [
    'guest.ldtr.ti',
    'TI of a usable LDTR is 0',
    [LDTR.selector, LDTR.rights],
    (s) => !localUsable(s) || t.clear(s, LDTR.selector, 4),
  ],
  baseCanonical(LDTR, localUsable, [LDTR.rights]),
  ['guest.ldtr.type', 'the type of a usable LDTR is 2', [LDTR.rights], (s) => !localUsable(s) || type(s, LDTR) === LDT],
  ['guest.ldtr.s', 'S of a usable LDTR is 0', [LDTR.rights], (s) => !localUsable(s) || !t.bit(s, LDTR.rights, 4)],
  ['guest.ldtr.present', 'P of a usable LDTR is 1', [LDTR.rights], (s) => !localUsable(s) || t.bit(s, LDTR.rights, 7)],
  ...reservedRights(LDTR, localUsable, []),
  granularity(LDTR, localUsable, []),
];

const CODE_AND_DATA = GUEST_SEGMENTS.slice(0, 6);

export const guestSegmentChecks: readonly Check[] = section('guest', CITE.guestSegments, [
  ...CODE_AND_DATA.flatMap(virtualRows),
  ...codeRows,
  ...stackRows,
  ...(['DS', 'ES', 'FS', 'GS'] as const).flatMap((name) => dataRows(find(name))),
  ...taskRows,
  ...localRows,
]);
