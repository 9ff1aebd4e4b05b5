/** Errors of this room that a user can cause, and what such errors of every room above it are made of. */

/** A line of a room's table: what happened and what to do; where and why come with the error. */
export interface ErrorSpec {
  readonly what: string;
  readonly advice: string;
}

/** An error in the words of a room's table. `advice` replaces that of the table where more is known. */
export abstract class CodedError<Code extends string> extends Error {
  readonly code: Code;
  readonly what: string;
  readonly where: string;
  readonly why: string | null;
  readonly advice: string;

  constructor(spec: ErrorSpec, code: Code, where: string, why: string | null = null, advice: string | null = null) {
    super(`${spec.what}: ${where}${why === null ? '' : `: ${why}`}`);
    this.name = new.target.name;
    this.code = code;
    this.what = spec.what;
    this.where = where;
    this.why = why;
    this.advice = advice ?? spec.advice;
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: what others wrote may hold anything, and none of these may reach a terminal
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Text that others wrote as it may be printed: what is no character, or turns its direction, is a replacement character. */
export const printable = (text: string): string => text.replace(CONTROL, '\ufffd');

export const ENGINE_ERRORS = {
  BAD_STATE: { what: 'saved state does not fit', advice: 'take it from a trace of this version of Trapline' },
  BAD_CONFIGURATION: { what: 'bad machine configuration', advice: 'see trapline record --help' },
  PORT_CONFLICT: { what: 'two devices claim one port', advice: 'leave one of them out' },
  IMAGE_EMPTY: { what: 'image is empty', advice: 'check how it was built' },
  IMAGE_UNKNOWN: {
    what: 'image is none that Trapline can start',
    advice: 'give a multiboot image, a boot sector, or say where a flat image goes',
  },
  IMAGE_UNSUPPORTED: {
    what: 'image of a kind that Trapline cannot start yet',
    advice: 'build it as a multiboot image',
  },
  IMAGE_TRUNCATED: { what: 'image is cut short', advice: 'build or copy it again' },
  IMAGE_BAD_HEADER: { what: 'image header contradicts itself', advice: 'check how it was built' },
  IMAGE_OUTSIDE_RAM: { what: 'image does not fit into RAM', advice: 'give the machine more memory' },
} as const satisfies { readonly [code: string]: ErrorSpec };
export type EngineErrorCode = keyof typeof ENGINE_ERRORS;

export class EngineError extends CodedError<EngineErrorCode> {
  constructor(code: EngineErrorCode, where: string, why: string | null = null) {
    super(ENGINE_ERRORS[code], code, where, why);
  }
}
