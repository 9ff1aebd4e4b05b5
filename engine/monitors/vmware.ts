/**
 * The monitor `vmware`: a virtual machine with VMware's Backdoor. The guest has the machine's devices and interrupts to
 * itself; what exits is CPUID, the two ports of the Backdoor, and #GP, by which the Backdoor answers ring 3 whatever
 * IOPL and the I/O permission bitmap say. Any other #GP goes back to the guest as it came.
 *
 * Sources: open-vm-tools (lib/include/backdoor_def.h, lib/message/message.c), KVM's enable_vmware_backdoor.
 */
import type { Cpu } from '../cpu/cpu.js';
import { VECTOR } from '../cpu/fault.js';
import { gpr, S } from '../cpu/layout.js';
import type { DeviceState } from '../devices/state.js';
import type { Hpa } from '../types.js';
import { ENTRY, EXIT, INTR, PRIMARY, SECONDARY } from '../vmx/controls.js';
import { VMX_EXIT_REASONS } from '../vmx/exit-reasons.js';
import {
  CR0_FIXED,
  CR4_FIXED,
  entryMode,
  guestState,
  injectException,
  injectGeneralProtection,
  injectInvalidOpcode,
  loadGuestRegisters,
  R,
  readGpr,
  retire,
  writeGpr32,
  writePair,
} from './guest.js';
import { GuestMemory, readPaging } from './guest-memory.js';
import { Host, type Reactions } from './host.js';
import { log } from './log.js';
import { COST, type Monitor, type MonitorKind, type MonitorSetup } from './monitor.js';
import { bitmap, eptTables, MEMORY_TYPE } from './tables.js';
import { Backdoor } from './vmware/backdoor.js';
import { MAGIC, PORT } from './vmware/commands.js';
import { decodeIo, type IoInstruction } from './vmware/decode.js';
import { answerCpuid, readPseudoCounter, validXcr0, writeCr0 } from './vmware/processor.js';
import type { Transfer } from './vmware/transfer.js';
import { eptPointer, vmread, vmread32 } from './vmx.js';

const CONTROLS = {
  pin: 0,
  primary: PRIMARY.ioBitmaps | PRIMARY.msrBitmaps | PRIMARY.rdpmc | PRIMARY.secondary,
  secondary: SECONDARY.ept | SECONDARY.unrestricted | SECONDARY.vpid | SECONDARY.rdtscp | SECONDARY.invpcid,
  exit: EXIT.host64 | EXIT.saveEfer | EXIT.loadEfer | EXIT.savePat | EXIT.loadPat,
  entry: ENTRY.loadEfer | ENTRY.loadPat,
} as const;
const VPID = 1;
const IO_BITMAP_BYTES = 2 * 4096;
/** FEATURE_CONTROL and the VMX capabilities: this virtual machine has no VMX. Reads and writes of low MSRs. */
const isVmxMsr = (msr: number): boolean => msr === 0x3a || (msr >= 0x480 && msr <= 0x493);
const MSR_BITMAP_BYTES = 4096;
/** Bit of the first MSR in the bitmaps for reading and writing low MSRs. */
const MSR_WRITE_LOW = 8 * 2048;

const SS_DPL = 5;
const CS = { long: 0x2000, big: 0x4000 } as const;
const EFER_LMA = 0x400n;
/** Exceptions that make a double fault of a #GP during their delivery: Intel SDM Vol. 3A, "Interrupt 8". */
const DOUBLES: ReadonlySet<number> = new Set([VECTOR.DE, VECTOR.TS, VECTOR.NP, VECTOR.SS, VECTOR.GP, VECTOR.PF]);
const HARDWARE_EXCEPTION = 3;
/** Bytes of an instruction, at the most. */
const LONGEST = 15;
const SCOPE = 'vmware';

/** What happens after an exit was handled. */
type Next = 'resume' | 'halt' | 'shutdown';

/** An access to one of the Backdoor's ports. */
interface PortAccess {
  readonly port: number;
  readonly kind: IoInstruction['kind'];
  readonly size: number;
  readonly rep: boolean;
  readonly addressSize: 2 | 4 | 8;
  readonly segment: number;
  readonly length: number;
}

const DS = 3;
const hex = (value: bigint | number): string => `0x${value.toString(16)}`;
const low = (cpu: Cpu, n: number): number => cpu.u32(gpr(n));

class Vmware implements Monitor, Reactions {
  readonly name = 'vmware';
  readonly #setup: MonitorSetup;
  readonly #host: Host;
  readonly #memory: GuestMemory;
  readonly #backdoor: Backdoor;

  constructor(setup: MonitorSetup) {
    this.#setup = setup;
    this.#host = new Host(setup.guestBytes);
    this.#memory = new GuestMemory(setup.guestBytes);
    this.#backdoor = new Backdoor(setup, this.#memory);
  }

  get gate(): Hpa {
    return this.#host.gate;
  }

  install(cpu: Cpu): void {
    const { reserved } = this.#host;
    this.#host.install(cpu, this.#setup.boot);
    cpu.memory.copyIn(reserved.ept, eptTables(reserved.ept, this.#setup.guestBytes, MEMORY_TYPE.writeBack));
    const isBackdoor = (port: number): boolean => port === PORT.low || port === PORT.high;
    cpu.memory.copyIn(reserved.ioBitmaps, bitmap(IO_BITMAP_BYTES, isBackdoor));
    const exits = (bit: number): boolean => isVmxMsr(bit) || isVmxMsr(bit - MSR_WRITE_LOW);
    cpu.memory.copyIn(reserved.msrBitmap, bitmap(MSR_BITMAP_BYTES, exits));
  }

  onExit(cpu: Cpu): void {
    this.#host.enter(cpu, this);
  }

  start(cpu: Cpu): void {
    const { reserved } = this.#host;
    const { boot } = this.#setup;
    loadGuestRegisters(cpu, boot);
    this.#host.launch(cpu, { ...CONTROLS, entry: CONTROLS.entry | entryMode(boot) }, [
      ...guestState(boot),
      ['EXCEPTION_BITMAP', 1 << VECTOR.GP],
      ['CR0_GUEST_HOST_MASK', CR0_FIXED],
      ['CR4_GUEST_HOST_MASK', CR4_FIXED],
      ['CR0_READ_SHADOW', boot.cr0],
      ['CR4_READ_SHADOW', boot.cr4],
      ['VIRTUAL_PROCESSOR_ID', VPID],
      ['EPT_POINTER', eptPointer(cpu, reserved.ept, false)],
      ['IO_BITMAP_A', reserved.ioBitmaps],
      ['IO_BITMAP_B', reserved.ioBitmaps + IO_BITMAP_BYTES / 2],
      ['MSR_BITMAP', reserved.msrBitmap],
    ]);
  }

  exit(cpu: Cpu): void {
    cpu.spend(COST.dispatch);
    const next = this.#handle(cpu);
    if (next === 'resume') this.#host.resume(cpu);
    else if (next === 'halt') this.#host.halt(cpu);
    else this.#host.shutDown(cpu);
  }

  /** External interrupts are the guest's own: the monitor runs with interrupts off and never waits for one. */
  interrupt(cpu: Cpu): void {
    this.#host.returnFromInterrupt(cpu);
  }
  window(cpu: Cpu): void {
    this.#host.halt(cpu);
  }
  awake(cpu: Cpu): void {
    this.#host.halt(cpu);
  }

  readonly #handlers: { readonly [reason: number]: (cpu: Cpu) => Next } = {
    0: (cpu) => this.#exception(cpu),
    2: () => 'shutdown',
    10: (cpu) => this.#cpuid(cpu),
    13: (cpu) => done(cpu), // INVD
    15: (cpu) => this.#rdpmc(cpu),
    18: (cpu) => this.#vmcall(cpu),
    28: (cpu) => this.#controlRegister(cpu),
    30: (cpu) => this.#io(cpu),
    31: (cpu) => raise(cpu, injectGeneralProtection),
    32: (cpu) => raise(cpu, injectGeneralProtection),
    55: (cpu) => this.#xsetbv(cpu),
  };

  #handle(cpu: Cpu): Next {
    const reason = vmread32(cpu, 'VM_EXIT_REASON');
    const handler = this.#handlers[reason];
    if (handler !== undefined) return handler(cpu);
    if (isVmxInstruction(reason)) return raise(cpu, injectInvalidOpcode);
    const name = VMX_EXIT_REASONS.find(({ code }) => code === (reason & 0xffff))?.name ?? String(reason & 0xffff);
    const failed = reason >>> 31 ? ' (VM entry failed)' : '';
    const where = `rip=${hex(vmread(cpu, 'GUEST_RIP'))} qualification=${hex(vmread(cpu, 'EXIT_QUALIFICATION'))}`;
    log(cpu, 'error', SCOPE, `Unhandled VM-exit: reason=${name}${failed} ${where}`);
    return 'halt';
  }

  // #GP, by which ring 3 reaches the Backdoor

  #exception(cpu: Cpu): Next {
    const info = vmread32(cpu, 'VM_EXIT_INTR_INFO');
    const errorCode = vmread32(cpu, 'VM_EXIT_INTR_ERROR_CODE');
    const vectoring = vmread32(cpu, 'IDT_VECTORING_INFO_FIELD');
    if (vectoring & INTR.valid) return this.#faultInDelivery(cpu, vectoring, errorCode);
    const isPlain = (info & 0xff) === VECTOR.GP && errorCode === 0;
    return (isPlain ? this.#allowed(cpu) : null) ?? this.#reflect(cpu, errorCode);
  }

  #reflect(cpu: Cpu, errorCode: number): Next {
    injectException(cpu, VECTOR.GP, errorCode);
    return 'resume';
  }

  /** The #GP met the delivery of another event: it replaces that, or makes a double or a triple fault with it. */
  #faultInDelivery(cpu: Cpu, vectoring: number, errorCode: number): Next {
    const first = ((vectoring >>> 8) & 7) === HARDWARE_EXCEPTION ? vectoring & 0xff : null;
    if (first === VECTOR.DF) return 'shutdown';
    if (first === null || !DOUBLES.has(first)) return this.#reflect(cpu, errorCode);
    injectException(cpu, VECTOR.DF, 0);
    return 'resume';
  }

  /** Does the guest's instruction, if it is one that the Backdoor allows; null: it is not. */
  #allowed(cpu: Cpu): Next | null {
    const rights = vmread32(cpu, 'GUEST_CS_AR_BYTES');
    const paging = readPaging(cpu);
    const mode64 = (paging.efer & EFER_LMA) !== 0n && (rights & CS.long) !== 0;
    const base = mode64 ? 0n : vmread(cpu, 'GUEST_CS_BASE');
    const linear = BigInt.asUintN(mode64 ? 64 : 32, base + vmread(cpu, 'GUEST_RIP'));
    cpu.spend(COST.decode);
    // The guest has just fetched it, with whatever right it had.
    const bytes = this.#memory.read(cpu, paging, linear, LONGEST, this.#isUser(cpu));
    const found = decodeIo(bytes, mode64 ? 64 : rights & CS.big ? 32 : 16);
    if (found === null) return null;
    if (found.kind === 'rdpmc') return this.#pseudoCounter(cpu, found.length);
    const port = found.port ?? low(cpu, R.rdx) & 0xffff;
    if (port !== PORT.low && port !== PORT.high) return null;
    return this.#access(cpu, { ...found, port, segment: found.segment ?? DS });
  }

  #isUser(cpu: Cpu): boolean {
    return ((vmread32(cpu, 'GUEST_SS_AR_BYTES') >> SS_DPL) & 3) === 3;
  }

  #pseudoCounter(cpu: Cpu, length?: number): Next | null {
    const value = readPseudoCounter(cpu, low(cpu, R.rcx));
    if (value === null) return null;
    writePair(cpu, value);
    retire(cpu, length);
    return 'resume';
  }

  #rdpmc(cpu: Cpu): Next {
    return this.#pseudoCounter(cpu) ?? raise(cpu, injectGeneralProtection);
  }

  // The Backdoor

  #io(cpu: Cpu): Next {
    const qualification = vmread32(cpu, 'EXIT_QUALIFICATION');
    const input = (qualification & 8) !== 0;
    const isString = (qualification & 0x10) !== 0;
    const information = isString ? vmread32(cpu, 'VMX_INSTRUCTION_INFO') : 0;
    const port = qualification >>> 16;
    const access: PortAccess = {
      port,
      kind: isString ? (input ? 'ins' : 'outs') : input ? 'in' : 'out',
      size: (qualification & 7) + 1,
      rep: (qualification & 0x20) !== 0,
      addressSize: ([2, 4, 8] as const)[(information >> 7) & 3] ?? 8,
      segment: (information >> 15) & 7,
      length: vmread32(cpu, 'VM_EXIT_INSTRUCTION_LEN'),
    };
    if (port === PORT.low || port === PORT.high)
      return this.#access(cpu, access) ?? raise(cpu, injectGeneralProtection);
    return this.#neighbour(cpu, access);
  }

  /** A wide access that only touches the Backdoor's ports from below goes to the bus. */
  #neighbour(cpu: Cpu, { port, kind, size, length }: PortAccess): Next {
    cpu.spend(1);
    if (kind === 'in') cpu.writeRegister(gpr(R.rax), size, BigInt(cpu.ports.in(port, size) >>> 0));
    else if (kind === 'out') cpu.ports.out(port, size, Number(cpu.readRegister(gpr(R.rax), size)));
    retire(cpu, length);
    return 'resume';
  }

  /** Null: the Backdoor knows no such access. */
  #access(cpu: Cpu, access: PortAccess): Next | null {
    const { port, kind, size, rep, length } = access;
    const isString = kind === 'ins' || kind === 'outs';
    if (isString) {
      if (port !== PORT.high || size !== 1 || !rep) return null;
      const { addressSize, segment } = access;
      return this.#transfer(cpu, { input: kind === 'ins', addressSize, segment }, length);
    }
    if (port === PORT.low && size === 4) this.#backdoor.call(cpu, kind === 'out');
    else if (kind === 'in') cpu.writeRegister(gpr(R.rax), size, 0xffff_ffffn);
    retire(cpu, length);
    return 'resume';
  }

  #transfer(cpu: Cpu, how: Transfer, length: number): Next {
    if (this.#backdoor.transfer(cpu, how, this.#isUser(cpu))) retire(cpu, length);
    return 'resume';
  }

  /** The hypercall form: the magic is in EAX, and DX says what the port would have said. */
  #vmcall(cpu: Cpu): Next {
    if (low(cpu, R.rax) !== MAGIC) return raise(cpu, injectInvalidOpcode);
    const flags = low(cpu, R.rdx) & 0xffff;
    const length = vmread32(cpu, 'VM_EXIT_INSTRUCTION_LEN');
    const isOutput = (flags & 2) !== 0;
    if (flags & 1) return this.#transfer(cpu, { input: !isOutput, addressSize: 8, segment: DS }, length);
    this.#backdoor.call(cpu, isOutput);
    retire(cpu, length);
    return 'resume';
  }

  // The rest of the processor

  #cpuid(cpu: Cpu): Next {
    const { eax, ebx, ecx, edx } = answerCpuid(cpu, low(cpu, R.rax), low(cpu, R.rcx));
    writeGpr32(cpu, R.rax, eax);
    writeGpr32(cpu, R.rbx, ebx);
    writeGpr32(cpu, R.rcx, ecx);
    writeGpr32(cpu, R.rdx, edx);
    return done(cpu);
  }

  /** Only CR0.NE and CR4.VMXE exit: the one is the monitor's to fix, the other not for this guest. */
  #controlRegister(cpu: Cpu): Next {
    const qualification = vmread32(cpu, 'EXIT_QUALIFICATION');
    const isMoveTo0 = (qualification & 0x3f) === 0;
    const value = readGpr(cpu, (qualification >> 8) & 15);
    if (!isMoveTo0 || !writeCr0(cpu, this.#host, value)) return raise(cpu, injectGeneralProtection);
    return done(cpu);
  }

  #xsetbv(cpu: Cpu): Next {
    const value = (BigInt(low(cpu, R.rdx)) << 32n) | BigInt(low(cpu, R.rax));
    const xcr0 = validXcr0(cpu, low(cpu, R.rcx), value);
    if (xcr0 === null) return raise(cpu, injectGeneralProtection);
    cpu.spend(1);
    cpu.setU64(S.XCR0, xcr0);
    return done(cpu);
  }

  receive(port: string, bytes: Uint8Array): boolean {
    return this.#backdoor.receive(port, bytes);
  }

  save(): DeviceState {
    return this.#backdoor.save(this.name);
  }

  load(state: DeviceState): void {
    this.#backdoor.load(state, this.name);
  }
}

function done(cpu: Cpu): Next {
  retire(cpu);
  return 'resume';
}

function raise(cpu: Cpu, inject: (cpu: Cpu) => void): Next {
  inject(cpu);
  return 'resume';
}

/** VMCLEAR to VMXON, INVEPT, INVVPID. */
const isVmxInstruction = (reason: number): boolean => (reason >= 19 && reason <= 27) || reason === 50 || reason === 53;

export const vmware: MonitorKind = {
  name: 'vmware',
  says: "VMware's Backdoor: commands, RPCI and TCLO",
  create: (setup) => new Vmware(setup),
};
