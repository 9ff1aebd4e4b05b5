/**
 * A colour for each exit reason: the same in every trace, so that eyes learn it. Related reasons share a hue. Red is
 * kept for failures. Each colour has a shade for light and one for dark pages.
 */
import type { Category } from '../../analyzer/timeline-answers.js';

type Shades = readonly [light: string, dark: string];

const RED: Shades = ['#d1242f', '#ff6a5e'];
const SLATE: Shades = ['#8a94a1', '#66707d'];

/** Names as VMX, SVM, Linux and our own kinds write them, without prefix. The first pattern that fits wins. */
const NAMED: readonly (readonly [RegExp, Shades])[] = [
  [/^(EPT_VIOLATION|NPF|PAGE_FAULT)$/, ['#2f6fc9', '#5b9bf0']],
  [/^(EPT_MISCONFIG|MMIO)$/, ['#86b2ea', '#3a659e']],
  [/^(INVLPG.?|INVEPT|INVVPID|INVPCID|TLB_FLUSH)$/, ['#1b3f7d', '#9cc2fa']],
  [/^(CPUID)$/, ['#1f9e8d', '#3fc0ae']],
  [/^(IO_INSTRUCTION|IOIO|IO|PIO)$/, ['#e3811c', '#f29b45']],
  [/^(MSR_WRITE|WRMSR.*|MSR)$/, ['#7f4fc4', '#a884ea']],
  [/^(MSR_READ|RDMSR.*)$/, ['#bba0e6', '#6c50a3']],
  [/^(EXTERNAL_INTERRUPT|INTR|IRQ|INTERRUPT)$/, ['#4f9a36', '#7cc25f']],
  [/^(INTERRUPT_WINDOW|PENDING_INTERRUPT|VINTR|INJECT|NMI_WINDOW|NMI)$/, ['#a5cf8c', '#4c7a3a']],
  [/^(HLT|PAUSE.*|MWAIT.*|MONITOR.*|IDLE.*)$/, ['#a7aeb6', '#68717b']],
  [/^(VMCALL|VMMCALL|HYPERCALL|BACKDOOR)$/, ['#d64a91', '#f07fb7']],
  [/^VMREAD$/, ['#e9a9cb', '#8c4a6e']],
  [/^VMWRITE$/, ['#b04a86', '#c96fa4']],
  [/^(VMRESUME|VMLAUNCH|VMRUN|ENTRY|NESTED_ENTRY)$/, ['#7d2f5c', '#e5a6c8']],
  [
    /^(VMCLEAR|VMPTRLD|VMPTRST|VMXON|VMXOFF|VMON|VMOFF|VMFUNC|VMLOAD|VMSAVE|STGI|CLGI|SKINIT|VMCS_STORE)$/,
    ['#c98bb0', '#6e3c58'],
  ],
  [/^(CR_ACCESS|CR|(READ|WRITE)_CR\d+|CR\d+_.*)$/, ['#c7a008', '#dcbc3e']],
  [/^(DR_ACCESS|(READ|WRITE)_DR\d+|XSETBV|LDTR_TR.*|GDTR_IDTR.*|RSM)$/, ['#85841c', '#a9a748']],
  [/^(EXCEPTION_NMI|EXCEPTION.*|EXCP.*|FAULT|.*_excp|DB|BP|UD|GP|PF)$/i, ['#94572c', '#c98d5f']],
  [/^(PREEMPTION_TIMER|RDTSCP?|RDPMC)$/, ['#4a4cb5', '#8588ee']],
  [/^(APIC_.*|EOI_INDUCED|TPR_.*|AVIC.*|VIRTUALIZED_EOI)$/, ['#2da5cb', '#5cc9ea']],
  [/^(WBINVD|INVD|WBNOINVD|EMULATE)$/, ['#5f6f52', '#93a583']],
  [/^(TRIPLE_FAULT|SHUTDOWN|TASK_SWITCH|INIT.*|SIPI.*|RESET)$/, ['#4a4f57', '#c3c9d1']],
];

/** For names that are not in the table: by a hash, so that they too are the same everywhere. */
const OTHERS: readonly Shades[] = [
  ['#5a8fa8', '#7db4ce'],
  ['#a86f5a', '#cf9580'],
  ['#6f8f3a', '#97b860'],
  ['#8d6fa8', '#b295cf'],
  ['#a88d3a', '#cdb25f'],
  ['#3f8f6b', '#66b893'],
  ['#7a7fa8', '#9fa4d0'],
];

function shadesOf(name: string): Shades {
  const plain = name.toUpperCase().replace(/^(EXIT_REASON_|VMEXIT_|SVM_EXIT_|EXIT_)/, '');
  const found = NAMED.find(([pattern]) => pattern.test(plain));
  if (found !== undefined) return found[1];
  let hash = 0x811c_9dc5; // FNV-1a
  for (const character of plain) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x0100_0193) >>> 0;
  return OTHERS[hash % OTHERS.length] ?? SLATE;
}

export class Palette {
  readonly dark: boolean;

  constructor(dark: boolean) {
    this.dark = dark;
  }

  get failure(): string {
    return this.#shade(RED);
  }

  category({ failure, reason, kind }: Pick<Category, 'failure' | 'reason' | 'kind'>): string {
    return failure || kind === 'lost' ? this.failure : this.#shade(shadesOf(reason ?? kind));
  }

  #shade([light, dark]: Shades): string {
    return this.dark ? dark : light;
  }
}

/** Black or white, whichever is legible on a colour (WCAG 2 relative luminance). */
export function inkOn(colour: string): string {
  const channel = (at: number): number => {
    const value = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5) > 0.19 ? '#111418' : '#ffffff';
}
