/**
 * Backdoor commands that need nothing but registers. Source: open-vm-tools, lib/include/backdoor_def.h, and its clients
 * for what they expect.
 */

/** In EAX when the Backdoor is called. */
export const MAGIC = 0x564d_5868;
export const PORT = { low: 0x5658, high: 0x5659 } as const;
export const COMMAND = { message: 30 } as const;

/** Low 32 bits of the registers that a command gets and may change. */
export interface BackdoorRegisters {
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
  esi: number;
  edi: number;
}

/** What a command may ask of the virtual machine. */
export interface BackdoorHost {
  /** Unix time now: whole seconds, and microseconds. */
  readonly seconds: number;
  readonly microseconds: number;
  readonly tscHz: number;
  /** RAM of the guest, bytes. */
  readonly memoryBytes: number;
}

export const APIC_BUS_HZ = 66_000_000;
const VERSION = 6;
/** Product type ESX. */
const PRODUCT = 2;
/** Virtual hardware of ESXi 7.0 U2. */
const HARDWARE_VERSION = 19;
const MAX_TIME_LAG_US = 1_000_000;
/** The BIOS UUID: TRAPLINE in ASCII and a 1, as four little-endian words. */
const UUID = [0x5041_5254, 0x454e_494c, 0x0000_0000, 0x0100_0000] as const;
/** A pointer that is not grabbed: x and y are -100. */
const NO_POINTER = 0xff9c_ff9c;
const NO_ABSOLUTE_POINTER = 0xffff_0000;
const MIB = 1 << 20;

type Command = (r: BackdoorRegisters, host: BackdoorHost) => void;

const fullTime: Command = (r, host) => {
  // Success leaves the magic in EAX.
  r.esi = Math.floor(host.seconds / 0x1_0000_0000);
  r.edx = host.seconds >>> 0;
  r.ebx = host.microseconds;
  r.ecx = MAX_TIME_LAG_US;
};

/** By number; a number that is not here is refused, and changes EAX only. */
const COMMANDS: { readonly [number: number]: Command } = {
  // GETMHZ
  1: (r, host) => {
    r.eax = Math.floor(host.tscHz / 1_000_000);
  },
  // GETPTRLOCATION
  4: (r) => {
    r.eax = NO_POINTER;
  },
  // SETPTRLOCATION
  5: () => {},
  // GETVERSION
  10: (r) => {
    r.eax = VERSION;
    r.ebx = MAGIC;
    r.ecx = PRODUCT;
  },
  // GETDEVICELISTELEMENT, TOGGLEDEVICE: there is none
  11: (r) => {
    r.eax = 0;
  },
  12: (r) => {
    r.eax = 0;
  },
  // GETGUIOPTIONS, SETGUIOPTIONS
  13: (r) => {
    r.eax = 0;
  },
  14: () => {},
  // GETHWVERSION
  17: (r) => {
    r.eax = HARDWARE_VERSION;
    r.ebx = MAGIC;
  },
  // GETUUID
  19: (r) => {
    [r.eax, r.ebx, r.ecx, r.edx] = UUID;
  },
  // GETMEMSIZE, in MiB
  20: (r, host) => {
    r.eax = Math.floor(host.memoryBytes / MIB);
  },
  // GETTIME
  23: (r, host) => {
    r.eax = host.seconds >>> 0;
    r.ebx = host.microseconds;
    r.ecx = MAX_TIME_LAG_US;
    r.edx = 0;
  },
  // STOPCATCHUP
  24: () => {},
  // ISMOUSEABSOLUTE
  36: (r) => {
    r.eax = 0;
  },
  // ABSPOINTER_STATUS
  40: (r) => {
    r.eax = NO_ABSOLUTE_POINTER;
  },
  // GETHZ
  45: (r, host) => {
    r.eax = host.tscHz >>> 0;
    r.ebx = Math.floor(host.tscHz / 0x1_0000_0000);
    r.ecx = APIC_BUS_HZ;
  },
  // GETTIMEFULL
  46: fullTime,
  // GETTIMEFULL_WITH_LAG
  55: (r, host) => {
    fullTime(r, host);
    r.edi = 0;
  },
};

export const REFUSED = 0xffff_ffff;

/** Does a command; where the magic is wrong or the number unknown, EAX alone becomes FFFFFFFFh. */
export function runCommand(number: number, r: BackdoorRegisters, host: BackdoorHost): void {
  const command = COMMANDS[number];
  if (command === undefined) r.eax = REFUSED;
  else command(r, host);
}
