/** Exceptions and what else can stop an instruction. */

/** Vectors: Intel SDM Vol. 3A, "Exception and Interrupt Reference". */
export const VECTOR = {
  DE: 0,
  DB: 1,
  NMI: 2,
  BP: 3,
  OF: 4,
  BR: 5,
  UD: 6,
  NM: 7,
  DF: 8,
  TS: 10,
  NP: 11,
  SS: 12,
  GP: 13,
  PF: 14,
  MF: 16,
  AC: 17,
  MC: 18,
  XM: 19,
  VE: 20,
  CP: 21,
} as const;

/** Vectors that push an error code. */
export const HAS_ERROR_CODE = new Set<number>([
  VECTOR.DF,
  VECTOR.TS,
  VECTOR.NP,
  VECTOR.SS,
  VECTOR.GP,
  VECTOR.PF,
  VECTOR.AC,
  VECTOR.CP,
]);

/**
 * Thrown by slow paths in TypeScript and caught where they were called from generated code or the run loop; never
 * thrown through generated code (a throw through WebAssembly costs most of a microsecond). It is no Error: with frames of
 * WebAssembly on the stack, the trace that an Error takes costs half a millisecond.
 */
export class CpuFault {
  readonly vector: number;
  readonly errorCode: number;
  /** Value for CR2 (#PF) or the debug status (#DB): the exit qualification of such an exception. */
  readonly qualification: bigint;
  constructor(vector: number, errorCode = 0, qualification = 0n) {
    this.vector = vector;
    this.errorCode = errorCode;
    this.qualification = qualification;
  }
}

/** #GP(error code). */
export const generalProtection = (errorCode = 0): CpuFault => new CpuFault(VECTOR.GP, errorCode);
export const invalidOpcode = (): CpuFault => new CpuFault(VECTOR.UD);

/** An access that second-level paging stopped: becomes a VM exit, not an exception. */
export class NestedPageFault {
  readonly kind: 'ept_violation' | 'ept_misconfig';
  readonly qualification: bigint;
  readonly gva: bigint;
  readonly gpa: number;
  constructor(kind: 'ept_violation' | 'ept_misconfig', qualification: bigint, gva: bigint, gpa: number) {
    this.kind = kind;
    this.qualification = qualification;
    this.gva = gva;
    this.gpa = gpa;
  }
}

/** Values of S.FAULT_KIND. */
export const FAULT = { none: 0, exception: 1, ept_violation: 2, ept_misconfig: 3 } as const;
