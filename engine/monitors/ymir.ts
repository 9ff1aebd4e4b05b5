/**
 * The monitor `ymir`: the VMCALL service of the hypervisor Ymir (https://github.com/smallkirby/ymir), with its table of
 * exits and its log on COM1, as its guest sees them. VMCALL 0 greets, any other number is logged; no register is ever
 * written, and it does not matter which ring asks.
 *
 * Not as in Ymir: what the processor model lacks stays off (APIC virtualization, XSAVES, EPT's accessed and dirty flags); the laboratory's own
 * ports E9h and F4h reach the machine, so that a guest can end its run; the logo is ours.
 */
import type { Cpu } from '../cpu/cpu.js';
import { VECTOR } from '../cpu/fault.js';
import { FLAG } from '../cpu/flags.js';
import { gpr } from '../cpu/layout.js';
import { type DeviceState, integer, record } from '../devices/state.js';
import type { Hpa, Level, Tick } from '../types.js';
import { ENTRY, EXIT, PIN, PRIMARY, SECONDARY } from '../vmx/controls.js';
import { VMX_EXIT_REASONS } from '../vmx/exit-reasons.js';
import {
  entryMode,
  guestState,
  injectInterrupt,
  loadGuestRegisters,
  moveRip,
  R,
  readGpr,
  writeGpr,
  writePair,
} from './guest.js';
import { GuestMemory } from './guest-memory.js';
import { Host, type Reactions } from './host.js';
import { latin1, log } from './log.js';
import { COST, type Monitor, type MonitorKind, type MonitorSetup } from './monitor.js';
import { MSR_EXIT_LOAD_OFFSET } from './reserved.js';
import { bitmap, eptTables, MEMORY_TYPE } from './tables.js';
import { eptPointer, vmread, vmread32, vmwrite } from './vmx.js';
import { answerCpuid } from './ymir/cpuid.js';
import { dumpGuest, hex16 } from './ymir/dump.js';
import { GREETINGS, HYPERVISED } from './ymir/logo.js';
import { PORT_STATE, Ports } from './ymir/ports.js';
import { AREA_MSRS, accessControlRegister, msrArea, readMsr, VPID, writeMsr } from './ymir/registers.js';

const STATE = record({
  ports: PORT_STATE,
  /** Interrupt lines of which the host was told and the guest was not. */
  pending: integer(0xffff),
});

const CONTROLS = {
  pin: PIN.externalInterrupt,
  primary: PRIMARY.hlt | PRIMARY.cr3Load | PRIMARY.cr3Store | PRIMARY.ioBitmaps | PRIMARY.tprShadow | PRIMARY.secondary,
  secondary:
    SECONDARY.ept |
    SECONDARY.unrestricted |
    SECONDARY.vpid |
    SECONDARY.xsaves |
    SECONDARY.invpcid |
    SECONDARY.apicRegisters |
    SECONDARY.interruptDelivery,
  exit: EXIT.host64 | EXIT.saveEfer | EXIT.loadEfer | EXIT.savePat | EXIT.loadPat,
  entry: ENTRY.loadEfer | ENTRY.loadPat,
} as const;

const ALL_ONES = 0xffff_ffff_ffff_ffffn;

/** The host's own interrupt vectors, and where it puts them. */
const PIC = { master: 0x20, slave: 0xa0, base: 0x20, eoi: 0x60 } as const;
/** Timer, cascade and COM1 are unmasked; nothing of the slave. */
const HOST_MASK = { master: ~(1 | (1 << 2) | (1 << 4)) & 0xff, slave: 0xff } as const;
/** COM1 interrupts the host when a byte has come. */
const COM1 = { ier: 0x3f9, mcr: 0x3fc } as const;
/** The last line that is ever injected: the loop's bound excludes 15. */
const LAST_LINE = 14;

/** Ports that do not exit: the timer, and the laboratory's own. */
const passes = (port: number): boolean =>
  (port >= 0x40 && port <= 0x47) || port === 0xe9 || (port >= 0xf4 && port <= 0xf7);
const BITMAP_BYTES = 2 * 4096;

const GP_INTERCEPT = 1 << VECTOR.GP;

/** What happens after an exit was handled. */
type Next = 'resume' | 'window' | 'sleep' | 'halt';

class Ymir implements Monitor, Reactions {
  readonly name = 'ymir';
  readonly #setup: MonitorSetup;
  readonly #host: Host;
  readonly #memory: GuestMemory;
  readonly #ports = new Ports();
  #pending = 0;

  constructor(setup: MonitorSetup) {
    this.#setup = setup;
    this.#host = new Host(setup.guestBytes);
    this.#memory = new GuestMemory(setup.guestBytes);
  }

  get gate(): Hpa {
    return this.#host.gate;
  }

  install(cpu: Cpu): void {
    const { reserved } = this.#host;
    this.#host.install(cpu, this.#setup.boot);
    cpu.memory.copyIn(reserved.ept, eptTables(reserved.ept, this.#setup.guestBytes, MEMORY_TYPE.uncacheable));
    cpu.memory.copyIn(
      reserved.ioBitmaps,
      bitmap(BITMAP_BYTES, (port) => !passes(port)),
    );
    cpu.memory.copyIn(reserved.msrAreas, msrArea());
    cpu.memory.copyIn(reserved.msrAreas + MSR_EXIT_LOAD_OFFSET, msrArea());
  }

  onExit(cpu: Cpu): void {
    this.#host.enter(cpu, this);
  }

  start(cpu: Cpu): void {
    this.#startDevices(cpu);
    const { reserved } = this.#host;
    const { boot } = this.#setup;
    loadGuestRegisters(cpu, boot);
    this.#host.launch(cpu, { ...CONTROLS, entry: CONTROLS.entry | entryMode(boot) }, [
      ...guestState(boot),
      ['EXCEPTION_BITMAP', GP_INTERCEPT],
      ['CR0_GUEST_HOST_MASK', ALL_ONES],
      ['CR4_GUEST_HOST_MASK', ALL_ONES],
      ['CR0_READ_SHADOW', boot.cr0],
      ['CR4_READ_SHADOW', boot.cr4],
      ['VIRTUAL_PROCESSOR_ID', VPID],
      ['EPT_POINTER', eptPointer(cpu, reserved.ept, true)],
      ['IO_BITMAP_A', reserved.ioBitmaps],
      ['IO_BITMAP_B', reserved.ioBitmaps + BITMAP_BYTES / 2],
      ['VIRTUAL_APIC_PAGE_ADDR', reserved.virtualApic],
      ['VM_ENTRY_MSR_LOAD_ADDR', reserved.msrAreas],
      ['VM_ENTRY_MSR_LOAD_COUNT', AREA_MSRS.length],
      ['VM_EXIT_MSR_STORE_ADDR', reserved.msrAreas],
      ['VM_EXIT_MSR_STORE_COUNT', AREA_MSRS.length],
      ['VM_EXIT_MSR_LOAD_ADDR', reserved.msrAreas + MSR_EXIT_LOAD_OFFSET],
      ['VM_EXIT_MSR_LOAD_COUNT', AREA_MSRS.length],
    ]);
  }

  /** The interrupt controllers and COM1, for the host's own use. */
  #startDevices(cpu: Cpu): void {
    const out = (port: number, value: number): void => {
      cpu.spend(1);
      cpu.ports.out(port, 1, value);
    };
    for (const [chip, base, icw3, mask] of [
      [PIC.master, PIC.base, 4, HOST_MASK.master],
      [PIC.slave, PIC.base + 8, 2, HOST_MASK.slave],
    ] as const) {
      out(chip, 0x11);
      for (const value of [base, icw3, 1, mask]) out(chip + 1, value);
    }
    out(COM1.ier, 1);
    out(COM1.mcr, 0x0b);
  }

  exit(cpu: Cpu): void {
    cpu.spend(COST.dispatch);
    const next = this.#handle(cpu);
    if (next === 'resume') this.#host.resume(cpu);
    else if (next === 'window') this.#host.openWindow(cpu);
    else if (next === 'sleep') this.#sleepUntilInterrupt(cpu);
    else this.#host.halt(cpu);
  }

  /** The host's interrupt handler: the line is pending for the guest. */
  interrupt(cpu: Cpu, vector: number): void {
    const line = vector - PIC.base;
    if (line >= 0 && line < 16) {
      this.#pending |= 1 << line;
      const eoi = (chip: number, value: number): void => {
        cpu.spend(1);
        cpu.ports.out(chip, 1, value);
      };
      if (line >= 8) eoi(PIC.slave, PIC.eoi | (line & 7));
      eoi(PIC.master, PIC.eoi | (line >= 8 ? 2 : line));
    }
    this.#host.returnFromInterrupt(cpu);
  }

  window(cpu: Cpu): void {
    this.#host.closeWindow(cpu);
    this.#inject(cpu);
    this.#host.resume(cpu);
  }

  awake(cpu: Cpu): void {
    this.#host.closeWindow(cpu);
    this.#sleepUntilInterrupt(cpu);
  }

  /** The first unmasked pending line, if the guest takes interrupts; false: nothing was injected. */
  #inject(cpu: Cpu): boolean {
    if (this.#pending === 0 || !(vmread32(cpu, 'GUEST_RFLAGS') & FLAG.IF)) return false;
    for (let line = 0; line <= LAST_LINE; line++) {
      if (!(this.#pending & (1 << line))) continue;
      const vector = this.#ports.vectorOf(line);
      if (vector === null) continue;
      this.#pending &= ~(1 << line);
      injectInterrupt(cpu, vector);
      return true;
    }
    return false;
  }

  /** HLT of the guest: sleeps in the host until there is something to inject. */
  #sleepUntilInterrupt(cpu: Cpu): void {
    if (!this.#inject(cpu)) {
      this.#host.sleep(cpu);
      return;
    }
    vmwrite(cpu, 'GUEST_ACTIVITY_STATE', 0);
    vmwrite(cpu, 'GUEST_INTERRUPTIBILITY_INFO', 0);
    this.#advance(cpu);
    this.#host.resume(cpu);
  }

  #advance(cpu: Cpu): void {
    moveRip(cpu, vmread32(cpu, 'VM_EXIT_INSTRUCTION_LEN'));
  }

  readonly #handlers: { readonly [reason: number]: (cpu: Cpu) => Next } = {
    0: (cpu) => this.#abort(cpu, `Exception: ${hex16(vmread(cpu, 'VM_EXIT_INTR_INFO'))}`),
    1: () => 'window',
    10: (cpu) => this.#cpuid(cpu),
    12: () => 'sleep',
    18: (cpu) => this.#vmcall(cpu),
    28: (cpu) => this.#finish(cpu, accessControlRegister(cpu, vmread32(cpu, 'EXIT_QUALIFICATION')), 'cr', 'CR access'),
    30: (cpu) => this.#io(cpu),
    31: (cpu) => this.#rdmsr(cpu),
    32: (cpu) => this.#wrmsr(cpu),
    48: (cpu) => this.#eptViolation(cpu),
  };

  #handle(cpu: Cpu): Next {
    const reason = vmread32(cpu, 'VM_EXIT_REASON');
    const handler = this.#handlers[reason];
    if (handler !== undefined) return handler(cpu);
    const name = VMX_EXIT_REASONS.find(({ code }) => code === (reason & 0xffff))?.name ?? String(reason & 0xffff);
    const failed = reason >>> 31 ? ' (VM entry failed)' : '';
    return this.#abort(cpu, `Unhandled VM-exit: reason=${name}${failed}`);
  }

  /** The instruction is done, or the monitor aborts because it does not know what the guest asked for. */
  #finish(cpu: Cpu, done: boolean, scope: string, what: string): Next {
    if (!done)
      return this.#abort(cpu, `Unhandled ${what}: qualification=${hex16(vmread(cpu, 'EXIT_QUALIFICATION'))}`, scope);
    this.#advance(cpu);
    return 'resume';
  }

  #vmcall(cpu: Cpu): Next {
    const number = readGpr(cpu, R.rax);
    const guest = (cpu.level + 1) as Level;
    const rip = vmread(cpu, 'GUEST_RIP');
    cpu.begin('vmcall').setBig('code', number).setBig('rip', rip);
    cpu.commit();
    cpu.observer.message({
      tick: cpu.tick as Tick,
      vcpu: cpu.index,
      level: guest,
      protocol: 'vmcall',
      channel: 0,
      direction: 0,
      body: latin1(`${number}`),
    });
    if (number === 0n) {
      log(cpu, 'info', 'vmc', GREETINGS);
      log(cpu, 'info', 'vmc', HYPERVISED);
    } else {
      log(cpu, 'error', 'vmc', `Unhandled VMCALL: nr=${number}`);
    }
    this.#advance(cpu);
    return 'resume';
  }

  #cpuid(cpu: Cpu): Next {
    const leaf = cpu.u32(gpr(R.rax));
    const subleaf = cpu.u32(gpr(R.rcx));
    const answer = answerCpuid(cpu, leaf, subleaf);
    if (answer === null) return this.#abort(cpu, `Unhandled CPUID: Leaf=${hex(leaf)}, Sub=${hex(subleaf)}`, 'vmcpuid');
    if (answer === undefined) log(cpu, 'warn', 'vmcpuid', `Unhandled CPUID: Leaf=${hex(leaf)}, Sub=${hex(subleaf)}`);
    const { eax, ebx, ecx, edx } = answer ?? { eax: 0, ebx: 0, ecx: 0, edx: 0 };
    // The high halves of the registers stay as they are.
    cpu.state.setUint32(gpr(R.rax), eax, true);
    cpu.state.setUint32(gpr(R.rbx), ebx, true);
    cpu.state.setUint32(gpr(R.rcx), ecx, true);
    cpu.state.setUint32(gpr(R.rdx), edx, true);
    this.#advance(cpu);
    return 'resume';
  }

  #io(cpu: Cpu): Next {
    const qualification = vmread32(cpu, 'EXIT_QUALIFICATION');
    const port = qualification >>> 16;
    const isString = (qualification & 0x10) !== 0;
    if (isString) return this.#finish(cpu, false, 'vmio', 'string I/O');
    if (!(qualification & 8)) {
      const bytes = (qualification & 7) + 1;
      const value = Number(readGpr(cpu, R.rax) & ((1n << BigInt(8 * bytes)) - 1n));
      return this.#finish(cpu, this.#ports.out(cpu, port, value), 'vmio', `I/O-out port: ${hex(port)}`);
    }
    const answer = this.#ports.in(cpu, port);
    // The whole of RAX is overwritten, whatever the size.
    if (typeof answer === 'bigint') writeGpr(cpu, R.rax, answer);
    return this.#finish(cpu, answer !== null, 'vmio', `I/O-in port: ${hex(port)}`);
  }

  #rdmsr(cpu: Cpu): Next {
    const msr = Number(readGpr(cpu, R.rcx) & 0xffff_ffffn);
    const value = readMsr(cpu, this.#host, msr);
    if (value !== null) writePair(cpu, value);
    return this.#finish(cpu, value !== null, 'vmmsr', `RDMSR: ${hex(msr)}`);
  }

  #wrmsr(cpu: Cpu): Next {
    const msr = Number(readGpr(cpu, R.rcx) & 0xffff_ffffn);
    const value = ((readGpr(cpu, R.rdx) & 0xffff_ffffn) << 32n) | (readGpr(cpu, R.rax) & 0xffff_ffffn);
    return this.#finish(cpu, writeMsr(cpu, this.#host, msr, value), 'vmmsr', `WRMSR: ${hex(msr)}`);
  }

  #eptViolation(cpu: Cpu): Next {
    const qualification = vmread(cpu, 'EXIT_QUALIFICATION');
    const linear = vmread(cpu, 'GUEST_LINEAR_ADDRESS');
    const physical = vmread(cpu, 'GUEST_PHYSICAL_ADDRESS');
    const where = `GLA=${hex16(linear)}, GPA=${hex16(physical)}`;
    return this.#abort(cpu, `EPT violation: qualification=${hex16(qualification)}, ${where}`, 'ept');
  }

  /** Logs why, dumps the guest, and halts for ever. */
  #abort(cpu: Cpu, why: string, scope = 'vmx'): Next {
    log(cpu, 'error', scope, why);
    for (const line of dumpGuest(cpu, this.#memory)) log(cpu, 'error', 'vmx', line);
    return 'halt';
  }

  receive(): boolean {
    return false;
  }

  save(): DeviceState {
    return STATE.read({ ports: this.#ports.state, pending: this.#pending }, this.name);
  }

  load(state: DeviceState): void {
    const { ports, pending } = STATE.read(state, this.name);
    this.#ports.state = ports;
    this.#pending = pending;
  }
}

const hex = (value: number): string => `0x${value.toString(16).toUpperCase()}`;

export const ymir: MonitorKind = {
  name: 'ymir',
  says: "Ymir's VMCALL service and table of exits",
  create: (setup) => new Ymir(setup),
};
