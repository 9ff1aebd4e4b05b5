/**
 * The deterministic machine: one vCPU, RAM, a PC's devices, and the run loop that alone decides what happens between
 * instructions. A run is a function of image, configuration and inputs: nothing here asks the host for anything.
 */
import { type BootState, loadBootRegisters, writeBootMemory } from './boot/state.js';
import { Cpu } from './cpu/cpu.js';
import { DecodeCache } from './cpu/decode/cache.js';
import { RecordDecoder } from './cpu/decode/decode.js';
import { ACTIVITY, deliverException, deliverInterrupt } from './cpu/delivery.js';
import { Executor } from './cpu/executor.js';
import { CpuFault, FAULT, NestedPageFault, VECTOR } from './cpu/fault.js';
import { FLAG } from './cpu/flags.js';
import { STATUS } from './cpu/interpreter/protocol.js';
import { S, STATE_BYTES } from './cpu/layout.js';
import type { CpuModel } from './cpu/model.js';
import { resetCpu } from './cpu/reset.js';
import { SLOW_NUMBERS } from './cpu/slow.js';
import { Pc } from './devices/pc.js';
import type { DeviceState } from './devices/state.js';
import { EngineError } from './errors.js';
import { memoryMap } from './memory/map.js';
import { PAGE, PAGE_BYTES, PhysicalMemory } from './memory/physical.js';
import { AccessRing, type RingContent } from './memory/ring.js';
import { Tlb } from './memory/tlb.js';
import type { Monitor } from './monitors/monitor.js';
import { EventRecord, type Observer } from './observer.js';
import { type Tick, tick } from './types.js';
import { restoreVmx } from './vmx/restore.js';
import { nextDeadline } from './vmx/timer.js';
import { generateCopies } from './vmx/transfer-wasm.js';

/** Version of what instructions and devices mean: a trace replays only on the version that recorded it. */
export const SEMANTICS_VERSION = 2;

export interface MachineConfiguration {
  readonly model: CpuModel;
  /** Bytes of RAM, a multiple of 4 KiB. */
  readonly memoryBytes: number;
  /** Unix time at tick 0, in seconds. */
  readonly epoch: number;
  /** A checkpoint is taken, and the TLB emptied, at the first boundary at or after every multiple of this many ticks. */
  readonly checkpointEvery: number;
}

/** Why `run` returned. */
export type Stop =
  /** The limit is reached. */
  | 'limit'
  /** A checkpoint is due now; the state may be saved. */
  | 'checkpoint'
  /** The guest ended the run through the exit port: see `exitStatus`. */
  | 'exit'
  /** The vCPU waits for an interrupt that no device will raise by itself. */
  | 'idle'
  /** A triple fault. */
  | 'shutdown';

/** Everything but RAM. */
export interface MachineState {
  readonly cpu: Uint8Array;
  readonly devices: DeviceState;
}

const SHADOW = 3;

/** Slots that mean nothing between instructions: what generated code and the decode cache leave there. */
const SCRATCH: readonly number[] = [
  S.DEADLINE,
  S.TLB_TAG,
  S.FAULT_KIND,
  S.FAULT_VECTOR,
  S.FAULT_ERROR,
  S.FAULT_QUALIFICATION,
  S.FAULT_GVA,
  S.FAULT_GPA,
  S.SLOW_ADDRESS,
  S.SLOW_VALUE,
  S.RECORD,
  S.PAGE_LINEAR,
  S.PAGE_GPA,
  S.CODE_PAGE,
  S.RUN_START,
  S.RING_NEXT,
  S.RING_LIMIT,
  S.RING_META,
  S.CODE_BASE,
  S.CODE_MASK,
];

function deviceRecord(state: DeviceState, name: string): DeviceState {
  const record = state[name];
  if (typeof record === 'object' && record !== null && !Array.isArray(record)) return record as DeviceState;
  throw new EngineError('BAD_STATE', name, 'there is no record of it');
}

export class Machine {
  readonly configuration: MachineConfiguration;
  readonly memory: PhysicalMemory;
  readonly cpu: Cpu;
  readonly devices: Pc;
  readonly tlb: Tlb;
  readonly ring: AccessRing;
  #monitor: Monitor | null = null;
  /** (code << 1) | 1 as the guest wrote it to the exit port; null while it runs. */
  exitStatus: number | null = null;
  readonly #executor: Executor;
  readonly #observer: Observer;
  #nextCheckpoint: number;
  #deviceDeadline = 0;

  constructor(configuration: MachineConfiguration, observer: Observer) {
    this.configuration = configuration;
    this.#observer = observer;
    const layout = memoryMap(1, configuration.memoryBytes);
    const memory = new WebAssembly.Memory({ initial: layout.size / 0x1_0000, maximum: layout.size / 0x1_0000 });
    const { buffer } = memory;
    this.memory = new PhysicalMemory(buffer, layout.ram, layout.pageInfo, configuration.memoryBytes);
    this.ring = new AccessRing(buffer, layout.ring);
    const base = layout.vcpus[0] ?? 0;
    this.tlb = new Tlb(buffer, base, this.memory, this.ring);
    this.memory.onProtect = (page) => this.tlb.protect(page);
    this.devices = new Pc(configuration, {
      now: () => this.now,
      output: (port, bytes) => observer.output(port, bytes),
      exit: (status) => {
        this.exitStatus = status;
      },
      reset: () => {
        this.cpu.setU32(S.ACTIVITY, ACTIVITY.shutdown);
      },
    });
    this.cpu = new Cpu(0, configuration.model, buffer, base, {
      memory: this.memory,
      linear: this.tlb,
      ports: {
        in: (port, size) => {
          this.#executor.devicesTouched = true;
          return this.devices.ports.in(port, size);
        },
        out: (port, size, value) => {
          this.#executor.devicesTouched = true;
          this.devices.ports.out(port, size, value);
        },
      },
      interrupts: this.devices.interrupts,
      translations: this.tlb,
      observer,
      record: new EventRecord(),
    });
    this.tlb.attach(this.cpu);
    this.cpu.vmx.copies = generateCopies(memory);
    const decoder = new RecordDecoder(buffer, SLOW_NUMBERS, configuration.model);
    const cache = new DecodeCache(buffer, layout, this.memory, decoder);
    this.#executor = new Executor(memory, this.cpu, this.tlb, cache, this.ring);
    this.#nextCheckpoint = configuration.checkpointEvery;
    resetCpu(this.cpu);
    this.ring.reset(this.cpu);
    this.tlb.reset();
    this.touched();
  }

  get now(): Tick {
    return tick(this.cpu.tick);
  }

  /** Memory accesses are told to the observer from now on, or no longer. Changes nothing that a guest can see. */
  recordMemory(content: RingContent): void {
    this.drain();
    this.ring.content = content;
    this.cpu.walkObserver =
      content !== 'none' ? (gpa, value, _write, size) => this.ring.walk(this.cpu, gpa, value, size) : null;
  }

  /** Hands over what is still in the ring. */
  drain(): void {
    this.ring.drain(this.cpu, this.#observer);
  }

  boot(state: BootState): void {
    writeBootMemory(this.cpu, state);
    loadBootRegisters(this.cpu, state);
  }

  /** Puts a monitor below the guest; it brings the guest with it. */
  install(monitor: Monitor): void {
    this.#monitor = monitor;
    this.#markGate();
    monitor.install(this.cpu);
    this.touched();
  }

  #markGate(): void {
    if (!this.#monitor) return;
    const page = this.#monitor.gate / PAGE_BYTES;
    this.memory.setPageBits(page, this.memory.pageBits(page) | PAGE.gate);
  }

  /** Bytes from outside arrive now. False where neither a device nor the monitor has that port. */
  receive(port: string, bytes: Uint8Array): boolean {
    const known = this.devices.receive(port, bytes, this.now) || this.#monitor?.receive(port, bytes) === true;
    this.touched();
    return known;
  }

  /** A device was touched: its deadline may have changed. */
  touched(): void {
    this.#executor.devicesTouched = false;
    this.#deviceDeadline = this.devices.nextDeadline() ?? Number.POSITIVE_INFINITY;
  }

  /** Runs to the first boundary between instructions at or after `limit`, or to what stops it before. */
  run(limit: number): Stop {
    const { cpu } = this;
    for (;;) {
      if (this.exitStatus !== null) return 'exit';
      const now = cpu.tick;
      if (now >= this.#nextCheckpoint) {
        this.#startCheckpointPeriod(now);
        return 'checkpoint';
      }
      if (now >= limit) return 'limit';
      if (now >= this.#deviceDeadline) {
        this.devices.advance(tick(now));
        this.touched();
      }
      const activity = cpu.u32(S.ACTIVITY);
      if (activity === ACTIVITY.shutdown) return 'shutdown';
      if (this.#between()) continue;
      const deadline = Math.min(limit, this.#nextCheckpoint, this.#deviceDeadline, nextDeadline(cpu));
      if (activity !== ACTIVITY.active && cpu.u32(S.ACTIVITY) === activity) {
        if (this.#deviceDeadline === Number.POSITIVE_INFINITY && nextDeadline(cpu) === Number.POSITIVE_INFINITY) {
          return 'idle';
        }
        cpu.spend(Math.max(0, deadline - now));
        continue;
      }
      this.#execute(deadline);
    }
  }

  /** With nothing left to happen, lets time pass to `to`, as a halted processor does. */
  idleUntil(to: number): void {
    const until = Math.min(to, this.#nextCheckpoint);
    if (until > this.cpu.tick) this.cpu.spend(until - this.cpu.tick);
  }

  #startCheckpointPeriod(now: number): void {
    const every = this.configuration.checkpointEvery;
    this.#nextCheckpoint = (Math.floor(now / every) + 1) * every;
    this.drain();
    this.tlb.reset();
  }

  /** Events between instructions, by priority. True where one happened. */
  #between(): boolean {
    const { cpu } = this;
    const { interrupts } = cpu;
    if (cpu.intercepts.window(cpu)) return true;
    if (!interrupts.pending || cpu.u32(S.INTERRUPTIBILITY) & SHADOW) return false;
    const acknowledge = (): number => {
      const vector = interrupts.acknowledge();
      this.touched();
      return vector;
    };
    if (cpu.intercepts.interruptsIgnoreFlag(cpu)) return cpu.intercepts.externalInterrupt(cpu, acknowledge);
    if (!(cpu.u32(S.RFLAGS_REST) & FLAG.IF)) return false;
    deliverInterrupt(cpu, acknowledge());
    return true;
  }

  #execute(deadline: number): void {
    const { cpu } = this;
    const shadow = cpu.u32(S.INTERRUPTIBILITY) & SHADOW;
    const trap = (cpu.u32(S.RFLAGS_REST) & FLAG.TF) !== 0;
    const status = this.#executor.run(shadow || trap ? cpu.tick + 1 : deadline);
    if (this.#executor.devicesTouched) this.touched();
    if (shadow && !this.#executor.switched) {
      // The shadow of STI or MOV SS lasts for one instruction; another one of them may have cast its own.
      cpu.setU32(S.INTERRUPTIBILITY, cpu.u32(S.INTERRUPTIBILITY) & ~shadow);
    }
    if (status === STATUS.fault) {
      this.#fault();
      cpu.setU32(S.RECORD, 0);
    } else if (status === STATUS.gate) this.#throughGate();
    else if (status === STATUS.ring) this.drain();
    else if (trap && !this.#executor.switched) deliverException(cpu, new CpuFault(VECTOR.DB, 0, 0x4000n));
  }

  #fault(): void {
    const { cpu } = this;
    const kind = cpu.u32(S.FAULT_KIND);
    const qualification = cpu.u64(S.FAULT_QUALIFICATION);
    cpu.setU32(S.FAULT_KIND, FAULT.none);
    if (kind === FAULT.exception) {
      deliverException(cpu, new CpuFault(cpu.u32(S.FAULT_VECTOR), cpu.u32(S.FAULT_ERROR), qualification));
      return;
    }
    const name = kind === FAULT.ept_violation ? 'ept_violation' : 'ept_misconfig';
    const fault = new NestedPageFault(name, qualification, cpu.u64(S.FAULT_GVA), cpu.number(S.FAULT_GPA));
    cpu.intercepts.nestedFault(cpu, fault);
  }

  #throughGate(): void {
    if (!this.#monitor) throw new Error('a fetch from a gate page, and no monitor behind it');
    this.#monitor.onExit(this.cpu);
    this.touched();
  }

  /** State of processor and devices; take it where `run` answered `checkpoint`, or before the first tick. */
  save(): MachineState {
    const { cpu } = this;
    const bytes = new Uint8Array(cpu.state.buffer, cpu.state.byteOffset, STATE_BYTES).slice();
    for (const slot of SCRATCH) bytes.fill(0, slot, slot + 8);
    const devices = this.devices.save();
    return { cpu: bytes, devices: this.#monitor ? { ...devices, monitor: this.#monitor.save() } : devices };
  }

  /** Puts a saved state in place; RAM must have been loaded through `memory.copyIn` before. Throws EngineError. */
  load(state: MachineState): void {
    const { cpu } = this;
    new Uint8Array(cpu.state.buffer, cpu.state.byteOffset, STATE_BYTES).set(state.cpu);
    this.devices.load(state.devices);
    if (this.#monitor) this.#monitor.load(deviceRecord(state.devices, 'monitor'));
    this.#markGate();
    restoreVmx(cpu);
    this.exitStatus = null;
    this.ring.reset(cpu);
    this.tlb.reset();
    cpu.updateMode();
    const every = this.configuration.checkpointEvery;
    this.#nextCheckpoint = (Math.floor(cpu.tick / every) + 1) * every;
    this.touched();
  }

  /** Frames written since they were last cleared with `clearDirty`. */
  dirtyFrames(): number[] {
    const frames: number[] = [];
    for (let frame = 0; frame < this.memory.size / PAGE_BYTES; frame++) {
      if (this.memory.pageBits(frame) & 1) frames.push(frame);
    }
    return frames;
  }

  /** Forgets which frames are dirty; only where the TLB was emptied (a checkpoint), or stores would go unseen. */
  clearDirty(): void {
    for (let frame = 0; frame < this.memory.size / PAGE_BYTES; frame++) {
      this.memory.setPageBits(frame, this.memory.pageBits(frame) & ~1);
    }
  }
}
