/** A dump as it was found in a log: the values that it prints and nothing else, each with its line. */

export const FORMATS = {
  'kvm-vmcs': { isa: 'vmx', says: 'VMCS dump of Linux KVM' },
  'xen-vmcs': { isa: 'vmx', says: 'VMCS dump of Xen' },
  'kvm-vmcb': { isa: 'svm', says: 'VMCB dump of Linux KVM' },
  'xen-vmcb': { isa: 'svm', says: 'VMCB dump of Xen' },
  'xen-check': { isa: 'svm', says: 'VMCB that Xen refused' },
  vmcs: { isa: 'vmx', says: 'VMCS of a recorded run' },
  qemu: { isa: null, says: 'Register dump of QEMU' },
  recording: { isa: null, says: 'Failed entry of a recording' },
  report: { isa: null, says: 'Error without a dump' },
} as const satisfies { readonly [name: string]: { readonly isa: 'vmx' | 'svm' | null; readonly says: string } };
export type Format = keyof typeof FORMATS;

export interface Value {
  readonly value: bigint;
  /** Line of the text, from 1; 0: there is no text. */
  readonly line: number;
  /** Which piece of the dump it stands in, where it is not known whether they belong together. */
  readonly piece: number;
}

export const DAMAGES = {
  cut: 'a value has fewer digits than its printer writes',
  edge: 'lines of the log are cut there, and what ends there may go on',
  garbled: 'a line begins like one of the dump and does not go on as its printer writes it',
  mixed: 'a line of another dump, which was printed at the same time, stands amid it',
  conflict: 'a line is there twice, with different values',
  spliced: 'its lines are of different moments',
  missing: 'lines are missing',
  dropped: 'messages were lost on the way to this log, which may be lines of it',
} as const;
export type DamageKind = keyof typeof DAMAGES;

export interface Damage {
  readonly kind: DamageKind;
  readonly line: number;
  readonly what: string;
}

/** An entry of an MSR list that the dump prints. */
export interface ListedMsr {
  readonly list: 'guest' | 'host';
  readonly index: number;
  readonly msr: number;
  readonly value: bigint;
  /** Bits 63:32 of the entry's first half, where printed. */
  readonly reserved: bigint | null;
  readonly line: number;
}

/** Where a printed EFER came from, if not from the VMCS: KVM's `(effective)` and `(autoload)`, Xen's `(MSR LL)`. */
export type EferSource = 'field' | 'effective' | 'autoload';

export interface Dump {
  readonly format: Format;
  readonly first: number;
  readonly last: number;
  /**
   * By name: fields of the VMCS or of the VMCB, and in lower case what is no field (`error.hardware`, `error.vm`,
   * `failure.reason`, `failure.qualification`, `qemu.cr0`, ...).
   */
  readonly values: ReadonlyMap<string, Value>;
  readonly msrs: readonly ListedMsr[];
  readonly efer: EferSource;
  /** Sections that are there at all. */
  readonly sections: readonly string[];
  readonly damage: readonly Damage[];
  /** Pieces of a spliced dump, lines of one that is mixed with another; 1 for one that is whole. */
  readonly pieces: number;
  /** All of it is one line of a log, or of a string in it. */
  readonly isOneLine?: boolean;
  /** The line from which on the clock is another, where all lines are there in order, and the clock one that can be set. */
  readonly clockSetAt?: number;
  /** What stands beside the VMCS where the machine itself is there to be asked, and not its dump alone. */
  readonly machine?: {
    readonly efer: bigint;
    /** The current-VMCS pointer. */
    readonly vmcs: bigint;
    /** Four bytes of physical memory. */
    readonly memory: (address: bigint) => number;
  };
}

export const fieldOf = (dump: Dump, name: string): bigint | null => dump.values.get(name)?.value ?? null;

/** Lines of two states that were printed at the same time stand in it, so that none of them is known to belong to another. */
export const areMixed = ({ damage }: Pick<Dump, 'damage'>): boolean =>
  damage.some(({ kind }) => kind === 'mixed' || kind === 'conflict');
