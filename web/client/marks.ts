/** Which mark a reason gets: a known one always the same, any other one that is still free, never two alike. */
import type { Hue, Looks } from './colours.js';

export const TEXTURES = ['solid', 'rising', 'lines', 'dots', 'falling', 'checks', 'grid'] as const;
export type Texture = (typeof TEXTURES)[number];

/** Shapes of failures; an open one is the outline of the one before. */
export const SHAPES = [
  ...['triangle', 'diamond', 'square', 'circle', 'cross', 'pentagon'],
  ...['open triangle', 'open diamond', 'open square', 'open circle', 'open cross', 'open pentagon'],
] as const;
export type Shape = (typeof SHAPES)[number];

/** Hue null: the style that reasons share for which there is no other. */
export interface Mark {
  readonly hue: Hue | null;
  readonly texture: Texture;
}

/**
 * Related reasons share a hue, in the order of TEXTURES: the most frequent one is solid. Names are those of VMX, SVM,
 * Linux and our own kinds, without prefix.
 */
const FAMILIES: { readonly [hue in Hue]: readonly RegExp[] } = {
  blue: [
    /^(EPT_VIOLATION|NPF|PAGE_FAULT)$/,
    /^(EPT_MISCONFIG|MMIO.*)$/,
    /^INVLPG.?$/,
    /^(INVEPT|INVVPID|INVPCID|TLB_FLUSH)$/,
    /^(PML_FULL|DIRTY_LOG|MMU.*|ASYNC_PF)$/,
  ],
  teal: [/^CPUID$/, /^RDTSCP?$/, /^(RDPMC|RDRAND|RDSEED)$/, /^(XSETBV|XSAVES|XRSTORS|FPU)$/, /^EMULATE$/],
  orange: [
    /^(IO_INSTRUCTION|IOIO|IO|PIO)$/,
    /^(EXCEPTION_NMI|EXCEPTION.*|EXCP.*|FAULT|.*_EXCP)$/,
    /^(DB|BP|UD|GP|PF)$/,
  ],
  purple: [/^(MSR_WRITE|WRMSR.*|MSR)$/, /^(MSR_READ|RDMSR.*)$/],
  green: [
    /^(EXTERNAL_INTERRUPT|INTR|IRQ.*|INTERRUPT|POSTED_IRQ)$/,
    /^(INTERRUPT_WINDOW|PENDING_INTERRUPT|VINTR)$/,
    /^(INJECT|NMI_WINDOW|NMI)$/,
    /^(APIC.*|EOI_INDUCED|TPR_.*|AVIC.*|VIRTUALIZED_EOI)$/,
    /^(PREEMPTION_TIMER|TIMER|CLOCK)$/,
  ],
  grey: [
    /^(HLT|IDLE.*|HALT_POLL|WAKEUP)$/,
    /^(PAUSE.*|MWAIT.*|MONITOR.*|PLE_WINDOW)$/,
    /^(TRIPLE_FAULT|SHUTDOWN|INIT.*|SIPI.*|RESET)$/,
  ],
  pink: [
    /^(VMCALL|VMMCALL|HYPERCALL|BACKDOOR|HYPERV|VMGEXIT)$/,
    /^(VMRESUME|VMLAUNCH|VMRUN|ENTRY|NESTED_ENTRY)$/,
    /^(VMREAD|VMLOAD)$/,
    /^(VMWRITE|VMSAVE)$/,
    /^(VMPTRLD|VMCLEAR|VMPTRST|STGI)$/,
    /^(VMXON|VMXOFF|VMON|VMOFF|VMFUNC|CLGI|SKINIT)$/,
  ],
  yellow: [
    /^(CR_ACCESS|CR|CR\d+_.*|WRITE_CR0)$/,
    /^(DR_ACCESS|(READ|WRITE)_DR\d+)$/,
    /^READ_CR0$/,
    /^WRITE_CR3$/,
    /^(READ_CR3|WRITE_CR8)$/,
    /^WRITE_CR4$/,
    /^(READ_CR4|READ_CR8)$/,
  ],
  brown: [/^(WBINVD|INVD|WBNOINVD)$/, /^(TASK_SWITCH|LDTR_TR.*|GDTR_IDTR.*|RSM|SMM)$/],
};
const HUE_NAMES = Object.keys(FAMILIES) as Hue[];

/** Failures that have a shape of their own everywhere. */
const FAILED_SHAPES: readonly RegExp[] = [
  /^VMFAIL$/,
  /^(INVALID_STATE|INVALID_GUEST_STATE|INVALID|ERR)$/,
  /^MSR_LOAD_FAIL.*$/,
];

const plain = (name: string): string => name.toUpperCase().replace(/^(EXIT_REASON_|VMEXIT_|SVM_EXIT_|EXIT_)/, '');

/** What tells categories apart to the eye: exits of one reason look the same, nested or not. */
export const nameOfCategory = ({ failure, reason, kind }: Looks): string =>
  `${failure ? 'failed' : reason === null ? 'kind' : 'reason'} ${reason ?? kind}`;

/** FNV-1a, so that an unknown name is likely to look the same in every trace. */
function hash(text: string): number {
  let value = 0x811c_9dc5;
  for (const character of text) value = Math.imul(value ^ (character.codePointAt(0) ?? 0), 0x0100_0193) >>> 0;
  return value;
}

interface Wish {
  readonly name: string;
  readonly hue: number;
  readonly texture: number;
  /** Place in the tables; those that are in none come last. */
  readonly rank: number;
}

function wishOf(category: Looks): Wish {
  const text = plain(category.reason ?? category.kind);
  const name = nameOfCategory(category);
  const late = category.reason === null ? 1000 : 0;
  for (const [hue, of] of HUE_NAMES.entries()) {
    const texture = FAMILIES[of].findIndex((pattern) => pattern.test(text));
    if (texture >= 0) return { name, hue, texture, rank: late + hue * TEXTURES.length + texture };
  }
  const mixed = hash(text);
  // what is in no table begins with the textures that the tables leave over
  return { name, hue: mixed % HUE_NAMES.length, texture: TEXTURES.length - 1, rank: late + 500 };
}

/** Each texture of a hue, then those of the next one, until one is free; null: all are taken. */
function freeMark(taken: ReadonlySet<number>, { hue, texture }: Wish): number | null {
  for (let h = 0; h < HUE_NAMES.length; h++) {
    for (let t = 0; t < TEXTURES.length; t++) {
      const slot =
        ((hue + h) % HUE_NAMES.length) * TEXTURES.length + ((texture + TEXTURES.length - t) % TEXTURES.length);
      if (!taken.has(slot)) return slot;
    }
  }
  return null;
}

export interface Assigned {
  readonly marks: ReadonlyMap<string, Mark>;
  readonly shapes: ReadonlyMap<string, Shape>;
  /** Reasons that have to share one style, because there are more of them than styles. */
  readonly shared: number;
}

/** Marks of a trace's categories, by nameOfCategory. */
export function assign(categories: readonly Looks[]): Assigned {
  const wishes = new Map<string, Wish>();
  const failed = new Map<string, string>();
  for (const category of categories) {
    const name = nameOfCategory(category);
    if (category.failure) failed.set(name, plain(category.reason ?? category.kind));
    else if (category.kind !== 'lost') wishes.set(name, wishOf(category));
  }
  const marks = new Map<string, Mark>();
  const taken = new Set<number>();
  let shared = 0;
  const sorted = [...wishes.values()].sort((a, b) => a.rank - b.rank || (a.name < b.name ? -1 : 1));
  for (const wish of sorted) {
    const slot = freeMark(taken, wish);
    if (slot === null) {
      shared++;
      marks.set(wish.name, { hue: null, texture: 'grid' });
      continue;
    }
    taken.add(slot);
    const hue = HUE_NAMES[Math.floor(slot / TEXTURES.length)] ?? null;
    marks.set(wish.name, { hue, texture: TEXTURES[slot % TEXTURES.length] ?? 'solid' });
  }
  return { marks, ...shapesOf(failed), shared: shared > 1 ? shared : 0 };
}

function shapesOf(failed: ReadonlyMap<string, string>): Pick<Assigned, 'shapes'> {
  const shapes = new Map<string, Shape>();
  const taken = new Set<number>();
  const rank = (text: string): number => {
    const known = FAILED_SHAPES.findIndex((pattern) => pattern.test(text));
    return known < 0 ? FAILED_SHAPES.length : known;
  };
  const sorted = [...failed].sort((a, b) => rank(a[1]) - rank(b[1]) || (a[0] < b[0] ? -1 : 1));
  for (const [name, text] of sorted) {
    const known = rank(text);
    const first =
      known < FAILED_SHAPES.length
        ? known
        : FAILED_SHAPES.length + (hash(text) % (SHAPES.length - FAILED_SHAPES.length));
    let at = first;
    for (let i = 0; i < SHAPES.length && taken.has(at); i++) at = (first + i) % SHAPES.length;
    taken.add(at);
    shapes.set(name, SHAPES[at] ?? 'triangle');
  }
  return { shapes };
}
