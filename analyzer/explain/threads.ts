/** Who printed a line: dumps that were printed at the same time are told apart by it. */

const THREAD = /\[ *([TC]\d{1,9})\]/i;
/** Xen prints it in front of what it refuses, with the name of the function that does. */
const VCPU = /\bd\d{1,5}v\d{1,5}(?=\[)/;

/** The thread that a kernel names, or the vCPU that Xen does; null where the line names none. */
export const threadOf = (line: string): string | null => THREAD.exec(line)?.[1] ?? VCPU.exec(line)?.[0] ?? null;
