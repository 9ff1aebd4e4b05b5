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

/**
 * Forms that compilers use all the time: they alone are part of the interpreter's main loop, which is the faster for
 * being small. Every other form is a function of its own.
 */
const FREQUENT: readonly RegExp[] = [
  /^(add|or|and|sub|xor|cmp|test)\.(rr|ri|rm|mr|mi)\.[148]$/,
  /^(adc|sbb)\.(rr|ri|rm)\.[48]$/,
  /^(cmp|test)\..*\.2$/,
  /^mov\..*\.[1248]$/,
  /^(movzx|movsx)\..*\.[48]\.[124]$/,
  /^lea\.rm\.[48]$/,
  /^cmov.*\.[48]$/,
  /^set.*\.r\.1$/,
  /^(inc|dec|neg|not)\.[rm]\.[48]$/,
  /^(shl|shr|sar|rol|ror)\.r[ic]\.[48]$/,
  /^(imul\.(rr|rm|rri)|bt\.r[ri]|xchg\.rr)\.[48]$/,
  /^(bswap\.r|cbw|cwd)\.[48]$/,
  /^(j|call\.|ret|push\.|pop\.|leave\.)/,
  /^nop$/,
];
const isFrequent = (form: Form): boolean => FREQUENT.some((pattern) => pattern.test(form.name));

export const MAIN_FORMS: readonly Form[] = FORMS.filter(isFrequent);
export const OTHER_FORMS: readonly Form[] = FORMS.filter((form) => !isFrequent(form));

/** Handlers that are no form: records that are no instruction of the guest, and slow instructions. */
export const PSEUDO = {
  /** Resolve the branch target anew. */
  jump: MAIN_FORMS.length,
  /** Decode again from this offset: the end of a line, a dropped instruction, the end of a page. */
  refetch: MAIN_FORMS.length + 1,
  /** The next record is an instruction that crosses into the next page: see that both halves still hold. */
  cross: MAIN_FORMS.length + 2,
  /** Leave before this instruction: the run loop wants to stop exactly here. */
  stop: MAIN_FORMS.length + 3,
  /** An instruction written in TypeScript; R.slow says which. */
  slow: MAIN_FORMS.length + 4,
  /** The same, and it ends a straight line. */
  slowEnd: MAIN_FORMS.length + 5,
} as const;
/** The handlers that are no instruction of the guest: PSEUDO.jump and so many behind it. */
export const NO_INSTRUCTIONS = 4;
/** Handlers of the main loop: its forms, `jump` and `refetch`. */
export const MAIN_HANDLERS = MAIN_FORMS.length + 2;
const FIRST_OTHER = MAIN_FORMS.length + 6;
export const HANDLERS = FIRST_OTHER + OTHER_FORMS.length;

/** The form that a handler executes, or null for a pseudo-handler. */
export const formOf = (handler: number): Form | null =>
  (handler < MAIN_FORMS.length ? MAIN_FORMS[handler] : OTHER_FORMS[handler - FIRST_OTHER]) ?? null;

const BY_NAME: ReadonlyMap<string, number> = new Map([
  ...MAIN_FORMS.map((form, i) => [form.name, i] as const),
  ...OTHER_FORMS.map((form, i) => [form.name, FIRST_OTHER + i] as const),
]);
if (BY_NAME.size !== FORMS.length) throw new Error('two instruction forms have one name');

/** Handler of the form, or undefined where generated code has none. */
export const formNumber = (name: string): number | undefined => BY_NAME.get(name);
/** True where the form ends a straight line. */
export const formEnds = (handler: number): boolean => formOf(handler)?.ends === true;
