/** All instruction forms that have a meaning in generated code, by number and by name. */
import { arithmetic } from './arithmetic.js';
import { bitForms } from './bit.js';
import type { Form } from './context.js';
import { control } from './control.js';
import { moves } from './move.js';
import { multiplications } from './multiply.js';
import { shifts } from './shift.js';
import { strings } from './string.js';

export const FORMS: readonly Form[] = [
  ...moves,
  ...arithmetic,
  ...control,
  ...shifts,
  ...multiplications,
  ...bitForms,
  ...strings,
];

const BY_NAME: ReadonlyMap<string, number> = new Map(FORMS.map((form, i) => [form.name, i]));
if (BY_NAME.size !== FORMS.length) throw new Error('two instruction forms have one name');

/** Number of the form, or undefined where generated code has none. */
export const formNumber = (name: string): number | undefined => BY_NAME.get(name);
/** True where the form ends a straight line. */
export const formEnds = (number: number): boolean => FORMS[number]?.ends === true;

/** Handlers beyond the forms: records that are no instruction of the guest, and slow instructions. */
export const PSEUDO = {
  /** An instruction written in TypeScript; R.slow says which. */
  slow: FORMS.length,
  /** The same, and it ends a straight line. */
  slowEnd: FORMS.length + 1,
  /** Decode again from this offset: the end of a line, a dropped instruction, the end of a page. */
  refetch: FORMS.length + 2,
  /** The next record is an instruction that crosses into the next page: see that both halves still hold. */
  cross: FORMS.length + 3,
  /** Leave before this instruction: the run loop wants to stop exactly here. */
  stop: FORMS.length + 4,
  /** A fetch from the gate page: a monitor takes over. */
  gate: FORMS.length + 5,
} as const;
export const HANDLERS = FORMS.length + 6;
