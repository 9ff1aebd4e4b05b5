/**
 * A processor with FRED, CET, protection keys for supervisor pages, user interrupts, tertiary controls and the second
 * VM-exit controls: what Bochs's model wildcat_lake says of itself in the first line of the image (entries.asm,
 * say_processor).
 */
import type { CpuModel } from '../../../engine/cpu/model.js';

const FIRST_MSR = 0x480;
const MSRS = 20;
const SHADOW_STACKS = 7;
const BRANCH_TRACKING = 20;
/** The bench's own width of a physical address; addresses of the cases are moved beyond that of every model. */
const PHYSICAL_BITS = 39;

/** The processor of a line `processor`: capability MSRs 480H to 493H, CPUID.(7,0):EBX and ECX, CPUID.(7,1):EAX. */
export function processorOf(line: string): CpuModel {
  const words = line.split(' ').slice(1);
  if (words.length !== MSRS + 3) throw new RangeError(`no line of a processor: ${line}`);
  const [ebx = 0, ecx = 0, eax = 0] = words.slice(MSRS).map((word) => Number.parseInt(word, 16));
  return {
    name: 'newer',
    vendor: 'intel',
    physicalBits: PHYSICAL_BITS,
    cpuid: [
      // The line does not say EDX: Bochs has both halves of CET, shadow stacks and branch tracking, or neither.
      { leaf: 7, subleaf: 0, eax: 1, ebx, ecx, edx: ((ecx >>> SHADOW_STACKS) & 1) << BRANCH_TRACKING },
      { leaf: 7, subleaf: 1, eax, ebx: 0, ecx: 0, edx: 0 },
    ],
    msrs: new Map(words.slice(0, MSRS).map((word, i) => [FIRST_MSR + i, BigInt(`0x${word}`)])),
    tscPerTick: 1,
  };
}

/**
 * Bochs of August 2026 has the checks of "load FRED" and "load IA32_SPEC_CTRL" and does not offer these controls: its
 * capability MSRs lack entry controls 23 and 24 and second exit controls 0 and 1 and have a wrong exit control 24
 * instead. The answers are those of a build that offers them, which this line says.
 */
export const wildcatLake = processorOf(
  'processor 05d8100000000004 000000ff00000016 fffbfffe0401e172 f87fffff00036dff 01d8ffff000011ff 00000000600401e0 ' +
    '0000000080000021 00000000ffffffff 0000000000002000 000000010bf72fff 0000000000000054 06d77fff00000000 ' +
    '00000f0106f34141 000000ff00000016 fffbfffe04006172 f87fffff00036dfb 01d8ffff000011fb 0000000000000001 ' +
    '00000000000000c0 000000000000000f 00000000219c27eb 00000000984007ac 00000000088e08d7',
);
