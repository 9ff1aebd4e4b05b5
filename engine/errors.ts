/** Errors of this room that a user can cause: what happened and what to do; where and why come with the error. */

interface EngineErrorSpec {
  readonly what: string;
  readonly advice: string;
}

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
} as const satisfies { readonly [code: string]: EngineErrorSpec };
export type EngineErrorCode = keyof typeof ENGINE_ERRORS;

export class EngineError extends Error {
  readonly code: EngineErrorCode;
  readonly what: string;
  readonly where: string;
  readonly why: string | null;
  readonly advice: string;

  constructor(code: EngineErrorCode, where: string, why: string | null = null) {
    const { what, advice } = ENGINE_ERRORS[code];
    super(`${what}: ${where}${why === null ? '' : `: ${why}`}`);
    this.name = 'EngineError';
    this.code = code;
    this.what = what;
    this.where = where;
    this.why = why;
    this.advice = advice;
  }
}
