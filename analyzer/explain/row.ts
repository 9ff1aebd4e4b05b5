/** What a line of a dump is described by. */
import type { Condition } from './conditions.js';
import type { Format } from './dump.js';
import type { Template } from './template.js';

export type Family = 'vmcs' | 'vmcb' | 'xen-vmcb' | 'xen-check' | 'qemu' | 'report';

/** What a dump of each family is; one of a VMCS is of Xen or of KVM. */
export const FORMAT_OF: { readonly [family in Exclude<Family, 'vmcs'>]: Format } = {
  vmcb: 'kvm-vmcb',
  'xen-vmcb': 'xen-vmcb',
  'xen-check': 'xen-check',
  qemu: 'qemu',
  report: 'report',
};

export interface RowSpec {
  readonly section: string;
  readonly text: string;
  /** Printed in some versions or configurations only: its absence is no damage. */
  readonly optional?: true;
  /** Where this holds of what the dump says, every version prints it. */
  readonly when?: Condition;
  /** Where this holds, it may be left out. */
  readonly unless?: Condition;
  /** Only this program prints it so. */
  readonly only?: 'kvm' | 'xen';
  /** Only a dump of which this holds, as far as it is read, has the line in this form. */
  readonly within?: Condition;
  /** The line opens a dump, or a section of one. */
  readonly opens?: 'dump' | 'section';
  /** What the line says by being there: a value of 1 with this name. */
  readonly says?: string;
  /** What stands before it in the line, blanks folded. */
  readonly behind?: RegExp;
  /** What every version that has it prints behind it in the same line, blanks folded. */
  readonly goesOn?: string;
  /** How its line begins, folded, where the template alone would take what is another's. */
  readonly begins?: RegExp;
  /** May stand several times in a dump. */
  readonly repeats?: true;
  /** As a template has it. */
  readonly isLast?: NonNullable<Template['isLast']>;
  /** Begins a list of MSRs: of those that an entry loads, that an exit loads, or that one stores. */
  readonly list?: 'guest' | 'host' | 'stored';
}

export interface Row extends RowSpec, Template {
  readonly family: Family;
  /** Position in the printing order. */
  readonly order: number;
}

export const must = (section: string, ...texts: readonly string[]): RowSpec[] =>
  texts.map((text) => ({ section, text }));
export const may = (section: string, ...texts: readonly string[]): RowSpec[] =>
  texts.map((text) => ({ section, text, optional: true }));
export const when = (condition: Condition, section: string, ...texts: readonly string[]): RowSpec[] =>
  may(section, ...texts).map((row) => ({ ...row, when: condition }));
export const only = (program: 'kvm' | 'xen', rows: readonly RowSpec[]): RowSpec[] =>
  rows.map((row) => ({ ...row, only: program }));
