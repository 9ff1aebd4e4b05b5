/**
 * QEMU's registers as fields of a VMCS, where they are the same: KVM gives QEMU the descriptor tables, RIP, RSP and,
 * for a guest in protected mode, segments and RFLAGS as the VMCS has them (vmx_get_segment, vmx_get_rflags). CR0, CR3,
 * CR4, EFER and DR7 are the guest's view, so that the fields stay unknown.
 */
import type { Dump, Value } from './dump.js';

const SEGMENTS = { ES: 'es', CS: 'cs', SS: 'ss', DS: 'ds', FS: 'fs', GS: 'gs', LDTR: 'ldt', TR: 'tr' } as const;
const TABLES = { GDTR: 'gdt', IDTR: 'idt' } as const;

const CR0_PE = 1n;
/** Bits of a descriptor's second word that are access rights, from bit 8 on: type, S, DPL, P, AVL, L, D/B, G. */
const RIGHTS = 0xf0ffn;
const PRESENT = 0x80n;
const UNUSABLE = 0x1_0000n;

/** The dump with the VMCS fields that QEMU's registers tell. */
export function fromQemu(dump: Dump): Dump {
  const values = new Map<string, Value>();
  const copy = (from: string, to: string, convert: (value: bigint) => bigint = (value) => value): void => {
    const found = dump.values.get(from);
    if (found !== undefined) values.set(to, { ...found, value: convert(found.value) });
  };
  copy('qemu.rip', 'GUEST_RIP');
  for (const [name, label] of Object.entries(TABLES)) {
    copy(`qemu.${label}.base`, `GUEST_${name}_BASE`);
    copy(`qemu.${label}.limit`, `GUEST_${name}_LIMIT`);
  }
  const cr0 = dump.values.get('qemu.cr0')?.value;
  if (cr0 !== undefined && (cr0 & CR0_PE) !== 0n) {
    copy('qemu.rflags', 'GUEST_RFLAGS');
    for (const [name, label] of Object.entries(SEGMENTS)) {
      copy(`qemu.${label}.selector`, `GUEST_${name}_SELECTOR`);
      copy(`qemu.${label}.base`, `GUEST_${name}_BASE`);
      copy(`qemu.${label}.limit`, `GUEST_${name}_LIMIT`);
      // KVM shows an unusable register as not present.
      copy(`qemu.${label}.flags`, `GUEST_${name}_AR_BYTES`, (flags) => {
        const rights = (flags >> 8n) & RIGHTS;
        return (rights & PRESENT) === 0n ? rights | UNUSABLE : rights;
      });
    }
  }
  return { ...dump, values };
}
