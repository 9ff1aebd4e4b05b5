/**
 * Why a VM exit happens and what its information fields will say. One record is reused for all exits: they are made
 * hundreds of thousands of times a second.
 */
import { EVENT_FLAGS } from '../observer.js';

/**
 * What becomes of RFLAGS.RF in the saved image: Vol. 3C, "Saving RIP, RSP, RFLAGS, and SSP". `image`: the event would
 * have been delivered, and RF is that of the image which delivery would have pushed.
 */
export type ResumeFlag = 'keep' | 'clear' | 'set' | 'image';

export class ExitCause {
  /** All 32 bits of the exit reason. */
  reason = 0;
  qualificationLow = 0;
  qualificationHigh = 0;
  instructionLength = 0;
  instructionInfo = 0;
  interruption = 0;
  errorCode = 0;
  resumeFlag: ResumeFlag = 'keep';
  /** Guest linear and guest-physical address; null: the exit has none. */
  linear: bigint | null = null;
  physical: number | null = null;
  /** What the exit is about (port, MSR, vector, ...), for the trace only; -1: nothing. */
  code = -1;
  /** The value that the guest would write, for the trace only; `valueBytes` 0: none. */
  valueLow = 0;
  valueHigh = 0;
  valueBytes = 0;
  /** EVENT_FLAGS. */
  flags = 0;

  /** Starts over, with a reason. */
  begin(reason: number, resumeFlag: ResumeFlag): this {
    this.reason = reason;
    this.qualificationLow = 0;
    this.qualificationHigh = 0;
    this.instructionLength = 0;
    this.instructionInfo = 0;
    this.interruption = 0;
    this.errorCode = 0;
    this.resumeFlag = resumeFlag;
    this.linear = null;
    this.physical = null;
    this.code = -1;
    this.valueBytes = 0;
    this.flags = 0;
    return this;
  }

  qualify(low: number, high = 0): this {
    this.qualificationLow = low;
    this.qualificationHigh = high;
    return this;
  }

  qualifyBig(value: bigint): this {
    this.qualificationLow = Number(value & 0xffff_ffffn);
    this.qualificationHigh = Number((value >> 32n) & 0xffff_ffffn);
    return this;
  }

  about(code: number): this {
    this.code = code;
    return this;
  }

  writes(low: number, high: number, bytes: number): this {
    this.valueLow = low;
    this.valueHigh = high;
    this.valueBytes = bytes;
    this.flags |= EVENT_FLAGS.write;
    return this;
  }
}

/** The one in use: filled by an intercept, read by `vmExit` before it returns. */
export const cause = new ExitCause();
