/**
 * Lanes: one for each thread of the host that the trace names, because a vCPU is a thread (two VMs may both have a
 * vCPU 0). Each keeps which exit it is serving and whether its guest is an L1 or an L2.
 */
import type { TraceWriter } from '../../traces/store.js';
import { ImportError } from './errors.js';
import { later } from './time.js';

/** More threads than any host runs at once; a bound keeps hostile input from filling the memory. */
const MAX_LANES = 65_536;
/** Domains of Xen that are the same everywhere: the one that manages the host, and what idles (DOMID_IDLE). */
const DOMAINS: { readonly [domain: number]: string } = { 0: 'Domain-0', 32767: 'idle' };

/** Threads that are found without a look-up, by the last bits of their number; a power of two. */
const AT_HAND = 256;

/** How many gaps there were so far: places where events are missing. */
export class Gaps {
  count = 0;
}

export class Lane {
  readonly id: number;
  readonly vm: number | null;
  readonly thread: number | null;
  /** Host CPU, for lanes of what the source says of a CPU and not of a thread. */
  readonly cpu: number | null;
  readonly task: string;
  vcpu: number | null = null;
  /** Level of the guest: 1, or 2 between a nested entry and the exit that L1 gets to see. */
  guest = 1;
  /** Seq of the exit that is being served, or -1; its architecture and basic reason. */
  exit = -1;
  exitIsa = 0;
  exitReason = -1;
  /** Seq of the entry that no exit has answered yet, or -1. */
  entered = -1;
  /** Seq of the L2 exit that L1 works for, or -1. */
  reflected = -1;
  /** It has a row with a time. */
  seen = false;
  /** The latest time of its events, in halves, and whether that is in ticks. */
  lastLow = 0;
  lastHigh = 0;
  lastInTicks = false;
  /** Kind of the event of that time where it was left out, or -1 where it is a row. */
  passed = -1;
  readonly #gaps: Gaps;
  /** Number of the gap up to which it has forgotten what it was doing. */
  #gap: number;

  constructor(id: number, vm: number | null, thread: number | null, cpu: number | null, task: string, gaps: Gaps) {
    this.#gaps = gaps;
    this.#gap = gaps.count;
    this.id = id;
    this.vm = vm;
    this.thread = thread;
    this.cpu = cpu;
    this.task = task;
  }

  /** All that is known of it, for people. */
  get name(): string {
    const { id, vm, thread, vcpu, cpu, task } = this;
    const parts = [
      vm === null ? '' : `VM ${vm}`,
      vcpu === null ? '' : `vCPU ${vcpu}`,
      task === '' && thread === null ? '' : thread === null ? task : `${task}-${thread}`,
      cpu === null ? '' : `host CPU ${cpu}`,
    ].filter((part) => part !== '');
    return parts.join(', ') || `lane ${id}`;
  }

  /** The same for programs, as the dictionary of lanes has it: JSON. */
  get says(): string {
    const { vm, thread, vcpu, cpu, task } = this;
    return JSON.stringify({ vm, thread, vcpu, cpu, task });
  }

  /**
   * An event has a time; `passed` is its kind where it is left out, else -1. False where it is before the latest of the
   * lane, which stays: the recording is out of order.
   */
  reach(passed: number, low: number, high: number, inTicks: boolean): boolean {
    if (this.seen === true && later(this.lastHigh, this.lastLow, high | 0, low | 0)) return false;
    this.seen = true;
    this.passed = passed;
    this.lastLow = low | 0;
    this.lastHigh = high | 0;
    this.lastInTicks = inTicks;
    return true;
  }

  /** Forgets what it was doing before the last gap: nothing is known of what a thread did in it. */
  recall(): void {
    if (this.#gap === this.#gaps.count) return;
    this.#gap = this.#gaps.count;
    this.exit = -1;
    this.exitIsa = 0;
    this.exitReason = -1;
    this.reflected = -1;
    this.entered = -1;
  }
}

export class Lanes {
  readonly #threads = new Map<number, Lane>();
  readonly #vcpus = new Map<number, Lane>();
  readonly #cpus = new Map<number, Lane>();
  readonly #domains = new Map<number, Lane>();
  readonly all: Lane[] = [];
  readonly gaps = new Gaps();
  readonly #atHand: (Lane | null)[] = Array.from({ length: AT_HAND }, () => null);
  #last: Lane | null = null;

  /** Lane of a thread that was seen before. */
  known(thread: number): Lane | undefined {
    const near = this.#atHand[thread & (AT_HAND - 1)];
    if (near?.thread === thread) {
      if (this.#last !== near) this.#last = near;
      return near;
    }
    const lane = this.#threads.get(thread);
    if (lane !== undefined) {
      this.#atHand[thread & (AT_HAND - 1)] = lane;
      this.#last = lane;
    }
    return lane;
  }

  /** Lane of a vCPU of a Xen domain, where no thread is named: its domain is its VM. Both below 2^16. */
  ofDomain(domain: number, vcpu: number, where: () => string): Lane {
    const key = domain * 0x1_0000 + vcpu;
    let lane = this.#domains.get(key);
    if (lane === undefined) {
      lane = this.#add(domain, null, null, DOMAINS[domain] ?? '', where);
      lane.vcpu = vcpu;
      this.#domains.set(key, lane);
    }
    return lane;
  }

  /** Lane of a thread. `task` is asked for its name only when the thread is new. */
  ofThread(thread: number, process: number, task: () => string, where: () => string): Lane {
    if (this.#last?.thread === thread) return this.#last;
    let lane = this.#threads.get(thread);
    if (lane === undefined) {
      lane = this.#add(process < 0 ? null : process, thread, null, task(), where);
      this.#threads.set(thread, lane);
    }
    this.#last = lane;
    return lane;
  }

  /** Lane of a line that names no thread: that of its vCPU, else of the line before, else a new one. */
  ofVcpu(vcpu: number, where: () => string): Lane {
    if (vcpu < 0 && this.#last?.thread === null) return this.#last;
    let lane = this.#vcpus.get(vcpu) ?? this.#adopt(vcpu);
    if (lane === undefined) {
      lane = this.#add(null, null, null, '', where);
      lane.vcpu = vcpu < 0 ? null : vcpu;
      this.#vcpus.set(vcpu, lane);
    }
    this.#last = lane;
    return lane;
  }

  /** As ofVcpu, but null where that would make a new lane. */
  seen(vcpu: number): Lane | null {
    if (vcpu < 0) return this.#last?.thread === null ? this.#last : null;
    const nameless = this.#vcpus.get(-1);
    return this.#vcpus.get(vcpu) ?? (nameless?.vcpu === null ? nameless : null);
  }

  /** Lines before the first that names a vCPU most likely are of that vCPU. */
  #adopt(vcpu: number): Lane | undefined {
    const nameless = this.#vcpus.get(-1);
    if (nameless === undefined || nameless.vcpu !== null) return undefined;
    nameless.vcpu = vcpu;
    this.#vcpus.set(vcpu, nameless);
    return nameless;
  }

  /** Lanes of threads, and of vCPUs whose thread is unknown. */
  get threads(): number {
    return this.all.length - this.#cpus.size;
  }

  /** Lane for what is said of a host CPU; -1 where even that is unknown. */
  ofCpu(cpu: number, where: () => string): Lane {
    let lane = this.#cpus.get(cpu);
    if (lane === undefined) {
      lane = this.#add(null, null, cpu < 0 ? null : cpu, '', where);
      this.#cpus.set(cpu, lane);
    }
    return lane;
  }

  /** Writes the dictionary of lanes. */
  define(writer: TraceWriter): void {
    for (const lane of this.all) {
      writer.define('vcpu', lane.id, lane.name, lane.says);
    }
  }

  #add(vm: number | null, thread: number | null, cpu: number | null, task: string, where: () => string): Lane {
    if (this.all.length >= MAX_LANES) throw new ImportError('TOO_MANY_THREADS', where(), `more than ${MAX_LANES}`);
    const lane = new Lane(this.all.length, vm, thread, cpu, task, this.gaps);
    this.all.push(lane);
    return lane;
  }
}
