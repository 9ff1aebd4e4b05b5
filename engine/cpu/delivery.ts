/**
 * Delivery of exceptions, interrupts and injected events: what stands before them (a hypervisor's intercepts), what
 * happens when delivery itself faults (Intel SDM Vol. 3A, "Interrupt 8, Double Fault Exception"), and what a delivered
 * event leaves behind.
 */
import type { Cpu } from './cpu.js';
import { CpuFault, HAS_ERROR_CODE, NestedPageFault, VECTOR } from './fault.js';
import { S } from './layout.js';
import { EVENT_TYPE, TaskGate, type VectoredEvent, vector } from './vector.js';

/** Values of S.ACTIVITY: Intel SDM Vol. 3C, "Guest Non-Register State". */
export const ACTIVITY = { active: 0, hlt: 1, shutdown: 2, waitForSipi: 3 } as const;
/** Bits of S.INTERRUPTIBILITY. */
export const BLOCKING = { sti: 1, movSs: 2, smi: 4, nmi: 8 } as const;

/** Classes of exceptions: two of them in a row may make a double fault. */
const CONTRIBUTORY = new Set<number>([VECTOR.DE, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP, VECTOR.CP]);
const PAGE_FAULTS = new Set<number>([VECTOR.PF, VECTOR.VE]);

/** What follows from a `second` exception during delivery of the `first`. */
type Escalation = 'serial' | 'double' | 'triple';

function escalation(first: VectoredEvent, second: number): Escalation {
  const grave = CONTRIBUTORY.has(second) || PAGE_FAULTS.has(second);
  if (first.type !== EVENT_TYPE.exception || !grave) return 'serial';
  if (first.vector === VECTOR.DF) return 'triple';
  if (PAGE_FAULTS.has(first.vector)) return 'double';
  return CONTRIBUTORY.has(first.vector) && CONTRIBUTORY.has(second) ? 'double' : 'serial';
}

/** Exceptions that are traps or aborts: RF of the pushed image is left as it is. */
const NOT_FAULTS = new Set<number>([VECTOR.DB, VECTOR.BP, VECTOR.OF, VECTOR.DF, VECTOR.MC]);

/** An exception as an event. Real-address mode knows no error codes. */
const exceptionEvent = (cpu: Cpu, number: number, errorCode: number): VectoredEvent => ({
  vector: number,
  type: EVENT_TYPE.exception,
  errorCode: cpu.protectedMode && HAS_ERROR_CODE.has(number) ? errorCode : null,
  instructionLength: 0,
  resume: !NOT_FAULTS.has(number),
});

/** IDT-vectoring information. */
const vectoringOf = (event: VectoredEvent) => ({
  info: (event.vector | (event.type << 8) | (event.errorCode === null ? 0 : 0x800) | 0x8000_0000) >>> 0,
  errorCode: event.errorCode ?? 0,
  instructionLength: event.instructionLength,
});

/** State that an exception changes before its handler is called: CR2, DR6 and DR7. */
function latch(cpu: Cpu, number: number, qualification: bigint | null): void {
  // An injected event brings no qualification and changes none of them.
  if (qualification === null) return;
  if (number === VECTOR.PF) cpu.setU64(S.CR2, qualification);
  if (number === VECTOR.DB) {
    cpu.setU64(S.DR6, cpu.u64(S.DR6) | (qualification & 0xe00fn));
    cpu.setU64(S.DR7, cpu.u64(S.DR7) & ~0x2000n);
  }
}

/** What delivery leaves behind in the state that stands between instructions. */
function settle(cpu: Cpu, event: VectoredEvent): void {
  let blocking = cpu.u32(S.INTERRUPTIBILITY) & ~(BLOCKING.sti | BLOCKING.movSs);
  if (event.type === EVENT_TYPE.nmi) blocking |= BLOCKING.nmi;
  cpu.setU32(S.INTERRUPTIBILITY, blocking);
  cpu.setU32(S.ACTIVITY, ACTIVITY.active);
  cpu.vectoring = null;
}

function tellDelivered(cpu: Cpu, event: VectoredEvent, rip: bigint, qualification: bigint | null): void {
  const isException = event.type === EVENT_TYPE.exception || event.type >= EVENT_TYPE.privilegedException;
  const record = cpu
    .begin(isException ? 'fault' : 'irq')
    .set('code', event.vector)
    .setBig('rip', rip);
  if (event.errorCode !== null) record.set('error_code', event.errorCode);
  if (isException && qualification !== null) record.setBig('qualification', qualification);
  cpu.commit();
}

function shutDown(cpu: Cpu): void {
  cpu.vectoring = null;
  if (!cpu.intercepts.tripleFault(cpu)) cpu.setU32(S.ACTIVITY, ACTIVITY.shutdown);
}

/** Asks the hypervisor about an exception; true: it exited. */
const exited = (cpu: Cpu, event: VectoredEvent, qualification: bigint): boolean =>
  cpu.intercepts.exception(cpu, event.vector, event.errorCode, qualification, event.type !== EVENT_TYPE.exception);

/** How a delivery ended: the event's own handler runs, or that of an exception on the way, or a VM exit happened. */
export type Delivery = 'delivered' | 'replaced' | 'exited';

/**
 * Delivers an event that no intercept stopped, and whatever its delivery raises. `told`: the delivered event itself is
 * recorded and costs a tick (an injected one is the VM entry's, an INT n is its own instruction).
 */
function deliver(cpu: Cpu, event: VectoredEvent, qualification: bigint | null, told: boolean): Delivery {
  // Of the iterations of a repeated string instruction all but the last push RF as 1, whatever comes between them.
  let current = cpu.u32(S.REPEATING) ? { ...event, resume: true } : event;
  const first = current;
  cpu.setU32(S.REPEATING, 0);
  let cause = qualification;
  for (;;) {
    latch(cpu, current.type === EVENT_TYPE.exception ? current.vector : -1, cause);
    cpu.vectoring = vectoringOf(current);
    try {
      const rip = cpu.rip;
      vector(cpu, current);
      if (told || current !== first) {
        tellDelivered(cpu, current, rip, cause);
        cpu.spend(1);
      }
      settle(cpu, current);
      return current === first ? 'delivered' : 'replaced';
    } catch (error) {
      if (error instanceof NestedPageFault) {
        cpu.intercepts.nestedFault(cpu, error);
        cpu.vectoring = null;
        return 'exited';
      }
      if (!(error instanceof CpuFault)) throw error;
      const next = nextAfter(cpu, current, error);
      if (next === 'exited' || next === 'replaced') return next;
      current = next;
      cause = next.vector === VECTOR.DF ? 0n : error.qualification;
    }
  }
}

/** What to deliver after `fault` stopped the delivery of `current`; or how the matter has ended already. */
function nextAfter(cpu: Cpu, current: VectoredEvent, fault: CpuFault): VectoredEvent | 'exited' | 'replaced' {
  // Qualification of a task switch: the TSS selector, and 3 for "task gate in the IDT".
  if (fault instanceof TaskGate && cpu.intercepts.instruction(cpu, 'task_switch', BigInt(fault.task) | (3n << 30n))) {
    cpu.vectoring = null;
    return 'exited';
  }
  // The exception bitmap is consulted for the second exception before the two become a double or triple fault.
  const second = exceptionEvent(cpu, fault.vector, fault.errorCode);
  if (exited(cpu, second, fault.qualification)) {
    cpu.vectoring = null;
    return 'exited';
  }
  const escalated = escalation(current, fault.vector);
  if (fault.vector === VECTOR.PF) latch(cpu, VECTOR.PF, fault.qualification);
  if (escalated === 'serial') return second;
  // A VM exit by the double or triple fault itself does not count as one during event delivery.
  cpu.vectoring = null;
  if (escalated === 'triple') {
    shutDown(cpu);
    return 'replaced';
  }
  const double = exceptionEvent(cpu, VECTOR.DF, 0);
  return exited(cpu, double, 0n) ? 'exited' : double;
}

/**
 * Delivers an exception that an instruction raised, or makes the VM exit that it causes. Nothing is thrown: where EPT
 * stops the delivery, that VM exit is made.
 */
export function deliverException(cpu: Cpu, fault: CpuFault): Delivery {
  const event = exceptionEvent(cpu, fault.vector, fault.errorCode);
  cpu.vectoring = null;
  if (exited(cpu, event, fault.qualification)) return 'exited';
  return deliver(cpu, event, fault.qualification, true);
}

/** Delivers an external interrupt that has been acknowledged. */
export function deliverInterrupt(cpu: Cpu, number: number): Delivery {
  const type = EVENT_TYPE.interrupt;
  return deliver(cpu, { vector: number, type, errorCode: null, instructionLength: 0, resume: false }, 0n, true);
}

/** Delivers an NMI, or makes the VM exit that it causes. */
export function deliverNmi(cpu: Cpu): Delivery {
  if (cpu.intercepts.nmi(cpu)) return 'exited';
  const type = EVENT_TYPE.nmi;
  const event = { vector: VECTOR.NMI, type, errorCode: null, instructionLength: 0, resume: false };
  return deliver(cpu, event, 0n, true);
}

/**
 * Delivers the event that a VM entry injects (`type` of EVENT_TYPE), which no intercept stops: Intel SDM Vol. 3C,
 * "Event Injection". CR2, DR6 and DR7 stay as they are. Spends one tick and records nothing: the entry's own event tells of it.
 */
export function deliverEvent(
  cpu: Cpu,
  number: number,
  type: number,
  errorCode: number | null,
  instructionLength: number,
): Delivery {
  const software = type >= EVENT_TYPE.softwareInterrupt;
  const resume = type === EVENT_TYPE.exception && !NOT_FAULTS.has(number);
  cpu.spend(1);
  const event = { vector: number, type, errorCode, instructionLength: software ? instructionLength : 0, resume };
  return deliver(cpu, event, null, false);
}

/**
 * INT n, INT3, INTO and INT1 (`type` of EVENT_TYPE) of `instructionLength` bytes. Exceptions among them ask the
 * hypervisor first.
 */
export function softwareInterrupt(cpu: Cpu, number: number, type: number, instructionLength: number): Delivery {
  const event = { vector: number, type, errorCode: null, instructionLength, resume: false };
  cpu.vectoring = null;
  if (type !== EVENT_TYPE.softwareInterrupt && exited(cpu, event, 0n)) return 'exited';
  return deliver(cpu, event, 0n, false);
}
