/**
 * Processors whose capability MSRs are known, as RDMSR read them on one part of each (the MSR reports of VirtualBox,
 * src/VBox/VMM/VMMR3/cpus). Microcode and firmware settings change some of them: a list from the host itself is better.
 */
import { MODELS } from '../../engine/cpu/models/models.js';
import { MAKERS } from './makers.js';
import { type Features, NONE, ofModel, type Processor } from './processor.js';

interface Part {
  readonly name: string;
  readonly physicalBits: number;
  readonly features: Features;
  readonly msrs: { readonly [msr: number]: bigint };
}

/** The same in all three: pins, CR0, CR4 must-be-1, and the primary controls. */
const COMMON = {
  1153: 0x7f_0000_0016n,
  1154: 0xfff9_fffe_0401_e172n,
  1158: 0x8000_0021n,
  1159: 0xffff_ffffn,
  1160: 0x2000n,
  1165: 0x7f_0000_0016n,
  1166: 0xfff9_fffe_0400_6172n,
} as const;

/** RTM is not known: microcode updates took it away from some. */
const { RTM: _unknown, ...WITHOUT } = NONE;

const PARTS: readonly Part[] = [
  {
    name: 'sandy-bridge-e',
    physicalBits: 46,
    features: NONE,
    msrs: {
      ...COMMON,
      1152: 0x00da_0400_0000_0010n,
      1155: 0x007f_ffff_0003_6dffn,
      1156: 0xffff_0000_11ffn,
      1157: 0x1004_01e5n,
      1161: 0x6_27ffn,
      1162: 0x2an,
      1163: 0x4ff_0000_0000n,
      1164: 0xf01_0613_4141n,
      1167: 0x007f_ffff_0003_6dfbn,
      1168: 0xffff_0000_11fbn,
    },
  },
  {
    name: 'broadwell',
    physicalBits: 39,
    features: WITHOUT,
    msrs: {
      ...COMMON,
      1152: 0x00da_0400_0000_0012n,
      1155: 0x007f_ffff_0003_6dffn,
      1156: 0xffff_0000_11ffn,
      1157: 0x3004_81e5n,
      1161: 0x37_67ffn,
      1162: 0x2an,
      1163: 0x5_7cff_0000_0000n,
      1164: 0xf01_0633_4141n,
      1167: 0x007f_ffff_0003_6dfbn,
      1168: 0xffff_0000_11fbn,
      1169: 1n,
    },
  },
  {
    name: 'skylake-k',
    physicalBits: 39,
    features: { ...WITHOUT, SGX: true },
    msrs: {
      ...COMMON,
      1152: 0x00da_0400_0000_0004n,
      1155: 0x01ff_ffff_0003_6dffn,
      1156: 0x3_ffff_0000_11ffn,
      1157: 0x7004_c1e7n,
      1161: 0x37_27ffn,
      1162: 0x2en,
      1163: 0x1f_fcff_0000_0000n,
      1164: 0xf01_0633_4141n,
      1167: 0x01ff_ffff_0003_6dfbn,
      1168: 0x3_ffff_0000_11fbn,
      1169: 1n,
    },
  },
];

/** Four programmable counters and three fixed ones. */
const COUNTERS = 0x7_0000_000fn;
const LINEAR_BITS = 48;

/** Processors by name: parts that were read, and the models of Trapline's machine as `trapline-NAME`. */
export const PROCESSORS: ReadonlyMap<string, Processor> = new Map([
  ...PARTS.map(({ name, physicalBits, features, msrs }): [string, Processor] => [
    name,
    {
      name,
      physicalBits,
      features,
      linearBits: LINEAR_BITS,
      counters: COUNTERS,
      msr: (msr) => msrs[msr] ?? 0n,
      maker: MAKERS.intel,
    },
  ]),
  ...[...MODELS.values()].map((model): [string, Processor] => [
    `trapline-${model.name}`,
    { ...ofModel(model), name: `trapline-${model.name}` },
  ]),
]);
