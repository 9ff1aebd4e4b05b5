/** Names that KVM prints instead of numbers, by the table that a field's `%` names. */

/** Registers of the local APIC by their offset: Intel SDM volume 3A, table of the local APIC register address map. */
export const APIC_REGISTERS: { readonly [name: string]: number } = {
  APIC_ID: 0x20,
  APIC_LVR: 0x30,
  APIC_TASKPRI: 0x80,
  APIC_ARBPRI: 0x90,
  APIC_PROCPRI: 0xa0,
  APIC_EOI: 0xb0,
  APIC_RRR: 0xc0,
  APIC_LDR: 0xd0,
  APIC_DFR: 0xe0,
  APIC_SPIV: 0xf0,
  APIC_ISR: 0x100,
  APIC_TMR: 0x180,
  APIC_IRR: 0x200,
  APIC_ESR: 0x280,
  APIC_ICR: 0x300,
  APIC_ICR2: 0x310,
  APIC_LVTT: 0x320,
  APIC_LVTTHMR: 0x330,
  APIC_LVTPC: 0x340,
  APIC_LVT0: 0x350,
  APIC_LVT1: 0x360,
  APIC_LVTERR: 0x370,
  APIC_TMICT: 0x380,
  APIC_TMCCT: 0x390,
  APIC_TDCR: 0x3e0,
  APIC_SELF_IPI: 0x3f0,
  APIC_EFEAT: 0x400,
  APIC_ECTRL: 0x410,
};

/** Mnemonics of exceptions: Intel SDM volume 3A, "Exceptions and Interrupts", table of protected-mode exceptions. */
export const EXCEPTION_NAMES: { readonly [name: string]: number } = {
  '#DE': 0,
  '#DB': 1,
  '#BP': 3,
  '#OF': 4,
  '#BR': 5,
  '#UD': 6,
  '#NM': 7,
  '#DF': 8,
  '#TS': 10,
  '#NP': 11,
  '#SS': 12,
  '#GP': 13,
  '#PF': 14,
  '#MF': 16,
  '#AC': 17,
  '#MC': 18,
  '#XM': 19,
  '#XF': 19,
  '#VE': 20,
  '#CP': 21,
  '#HV': 28,
  '#VC': 29,
  '#SX': 30,
};

/** One name a value; what has no name is printed in hexadecimal. */
export const NAMES = {
  apic: APIC_REGISTERS,
  /** VDSO_CLOCKMODE_*: what the host's clock is read from. */
  clock: { none: 0, tsc: 1 },
  /** VM-instruction errors of an entry: Intel SDM volume 3C, "VM-Instruction Error Numbers". */
  vmx_error: {
    VMLAUNCH_NONCLEAR_VMCS: 4,
    VMRESUME_NONLAUNCHED_VMCS: 5,
    VMRESUME_AFTER_VMXOFF: 6,
    VMENTRY_INVALID_CONTROL_FIELD: 7,
    VMENTRY_INVALID_HOST_STATE_FIELD: 8,
    VMENTRY_EVENTS_BLOCKED_BY_MOV_SS: 26,
  },
} as const satisfies { readonly [table: string]: { readonly [name: string]: number } };

/** One name a bit, with `|` between them. */
export const BITS = {
  /** Page-fault error code: Intel SDM volume 3A, "Page-Fault Exceptions". */
  pferr: { P: 1 << 0, W: 1 << 1, U: 1 << 2, RSVD: 1 << 3, F: 1 << 4, PK: 1 << 5, SS: 1 << 6, SGX: 1 << 15 },
} as const satisfies { readonly [table: string]: { readonly [name: string]: number } };

export type Codes = keyof typeof NAMES | keyof typeof BITS;
