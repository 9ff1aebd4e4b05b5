/** Registers as iced-x86 names them, as slots of the vCPU's state. */
import { Register } from 'iced-x86';
import { gpr, S, SEG } from '../layout.js';

const BY_NUMBER = ['AX', 'CX', 'DX', 'BX', 'SP', 'BP', 'SI', 'DI'] as const;

export interface RegisterSlot {
  /** Byte offset into the state; high byte registers are byte 1 of theirs. */
  readonly slot: number;
  readonly size: 1 | 2 | 4 | 8;
}

function general(): Map<string, RegisterSlot> {
  const slots = new Map<string, RegisterSlot>();
  BY_NUMBER.forEach((name, n) => {
    slots.set(`R${name}`, { slot: gpr(n), size: 8 });
    slots.set(`E${name}`, { slot: gpr(n), size: 4 });
    slots.set(name, { slot: gpr(n), size: 2 });
    const low = n < 4 ? `${name.slice(0, 1)}L` : `${name}L`;
    slots.set(low, { slot: gpr(n), size: 1 });
    if (n < 4) slots.set(`${name.slice(0, 1)}H`, { slot: gpr(n) + 1, size: 1 });
  });
  for (let n = 8; n < 16; n++) {
    slots.set(`R${n}`, { slot: gpr(n), size: 8 });
    slots.set(`R${n}D`, { slot: gpr(n), size: 4 });
    slots.set(`R${n}W`, { slot: gpr(n), size: 2 });
    slots.set(`R${n}L`, { slot: gpr(n), size: 1 });
  }
  return slots;
}

const GENERAL = general();
const SEGMENTS = ['ES', 'CS', 'SS', 'DS', 'FS', 'GS'] as const;

/** Slot of a general register, or null for any other register. */
export const generalRegister: readonly (RegisterSlot | null)[] = (() => {
  const table: (RegisterSlot | null)[] = [];
  for (const [name, slot] of GENERAL) table[Register[name as keyof typeof Register]] = slot;
  return Array.from(table, (slot) => slot ?? null);
})();

/** Number of a segment register (SEG), or -1. */
export const segmentNumber = (register: Register): number => {
  const name = Register[register] as (typeof SEGMENTS)[number] | undefined;
  return name !== undefined && SEGMENTS.includes(name) ? SEG[name] : -1;
};

/** Number of a control or debug register with the given prefix (CR, DR), or -1. */
export const numbered = (register: Register, prefix: 'CR' | 'DR'): number => {
  const name = Register[register] as string | undefined;
  const match = name?.startsWith(prefix) ? Number(name.slice(2)) : Number.NaN;
  return Number.isInteger(match) ? match : -1;
};

/** Slot of the base or index of a memory operand. RIP and EIP name the page of the instruction. */
export function addressSlot(register: Register): number {
  if (register === Register.None) return S.ZERO;
  if (register === Register.RIP || register === Register.EIP) return S.PAGE_LINEAR;
  return generalRegister[register]?.slot ?? S.ZERO;
}
