/** When hypervisors print a line of a VMCS: most that are not always there follow a bit of its controls. */
import { PRIMARY } from '../../engine/vmx/controls.js';
import type { FieldName } from '../../engine/vmx/fields.js';

/** What a condition may ask of a dump, written or read. */
export interface Shown {
  /** A field; null where it is not there. */
  readonly value: (name: string) => bigint | null;
  /** Whether a line is there that begins so, up to its first value, or whose row is this one. */
  readonly has: (text: string) => boolean;
  /** Who printed it, as far as what is there tells. */
  readonly program: 'kvm' | 'xen';
}
export type Condition = (shown: Shown) => boolean;

/** A bit is set. */
export const control =
  (field: FieldName, mask: number): Condition =>
  ({ value }) =>
    ((value(field) ?? 0n) & BigInt(mask >>> 0)) !== 0n;

/** A field is there, and a bit of it clear. */
export const clear =
  (field: FieldName, mask: number): Condition =>
  (shown) =>
    shown.value(field) !== null && !control(field, mask)(shown);

export const entry = (mask: number): Condition => control('VM_ENTRY_CONTROLS', mask);
export const exit = (mask: number): Condition => control('VM_EXIT_CONTROLS', mask);
export const pin = (mask: number): Condition => control('PIN_BASED_VM_EXEC_CONTROL', mask);
export const primary = (mask: number): Condition => control('CPU_BASED_VM_EXEC_CONTROL', mask);
export const secondary = (mask: number): Condition =>
  both(primary(PRIMARY.secondary), control('SECONDARY_VM_EXEC_CONTROL', mask));

export const not =
  (condition: Condition): Condition =>
  (shown) =>
    !condition(shown);
export const either =
  (...conditions: readonly Condition[]): Condition =>
  (shown) =>
    conditions.some((condition) => condition(shown));
export const both =
  (...conditions: readonly Condition[]): Condition =>
  (shown) =>
    conditions.every((condition) => condition(shown));

/** Any of some values is there. */
export const gives =
  (...names: readonly string[]): Condition =>
  ({ value }) =>
    names.some((name) => value(name) !== null);

/** A line is there that begins so, or in this form. */
export const line =
  (text: string): Condition =>
  ({ has }) =>
    has(text);

export const printedBy =
  (program: Shown['program']): Condition =>
  (shown) =>
    shown.program === program;
