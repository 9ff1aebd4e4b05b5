/**
 * The checks over state dumps that Linux KVM printed when real hardware refused an entry, each made with one known
 * fault. What a dump does not print is unknown, and a check that needs it has no answer.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { VMX_MSR } from '../../../engine/vmx/capabilities.js';
import type { CheckState } from '../../../engine/vmx/checks/check.js';
import { CHECKS } from '../../../engine/vmx/checks/table.js';
import { F, type FieldName } from '../../../engine/vmx/fields.js';
import { FAULTS } from './dump-faults.js';

const FOLDER = fileURLToPath(new URL('../../../../../shared/data/kvm/dumps-vmx/', import.meta.url));

const BASIC_HIGH = 0x00da_0400;

class Unknown extends Error {}
const unknown = (): never => {
  throw new Unknown();
};

/** Where the dump prints a field: the label before its value. */
const LABELS: { readonly [name in FieldName]?: RegExp } = {
  GUEST_CR0: /CR0: actual=0x(\w+)/,
  CR0_READ_SHADOW: /CR0: .*shadow=0x(\w+)/,
  GUEST_CR4: /CR4: actual=0x(\w+)/,
  GUEST_CR3: /CR3 = 0x(\w+)/,
  GUEST_PDPTR0: /PDPTR0 = 0x(\w+)/,
  GUEST_PDPTR1: /PDPTR1 = 0x(\w+)/,
  GUEST_PDPTR2: /PDPTR2 = 0x(\w+)/,
  GUEST_PDPTR3: /PDPTR3 = 0x(\w+)/,
  GUEST_RSP: /\] RSP = 0x(\w+)/,
  GUEST_RIP: /\] RSP = .*RIP = 0x(\w+)/,
  GUEST_RFLAGS: /RFLAGS=0x(\w+)/,
  GUEST_DR7: /DR7 = 0x(\w+)/,
  GUEST_SYSENTER_ESP: /Sysenter RSP=(\w+)/,
  GUEST_SYSENTER_CS: /Sysenter RSP=\w+ CS:RIP=(\w+):/,
  GUEST_SYSENTER_EIP: /Sysenter RSP=\w+ CS:RIP=\w+:(\w+)/,
  GUEST_GDTR_LIMIT: /GDTR: +limit=0x(\w+)/,
  GUEST_GDTR_BASE: /GDTR: .*base=0x(\w+)/,
  GUEST_IDTR_LIMIT: /IDTR: +limit=0x(\w+)/,
  GUEST_IDTR_BASE: /IDTR: .*base=0x(\w+)/,
  GUEST_IA32_EFER: /EFER= 0x(\w+)/,
  GUEST_IA32_PAT: /PAT = 0x(\w+)/,
  GUEST_IA32_DEBUGCTL: /DebugCtl = 0x(\w+)/,
  GUEST_PENDING_DBG_EXCEPTIONS: /DebugExceptions = 0x(\w+)/,
  GUEST_INTERRUPTIBILITY_INFO: /Interruptibility = (\w+)/,
  GUEST_ACTIVITY_STATE: /ActivityState = (\w+)/,
  PIN_BASED_VM_EXEC_CONTROL: /PinBased=0x(\w+)/,
  CPU_BASED_VM_EXEC_CONTROL: /CPUBased=0x(\w+)/,
  SECONDARY_VM_EXEC_CONTROL: /SecondaryExec=0x(\w+)/,
  TERTIARY_VM_EXEC_CONTROL: /TertiaryExec=0x(\w+)/,
  VM_ENTRY_CONTROLS: /EntryControls=(\w+)/,
  VM_EXIT_CONTROLS: /ExitControls=(\w+)/,
  VM_ENTRY_INTR_INFO_FIELD: /VMEntry: intr_info=(\w+)/,
  VM_ENTRY_EXCEPTION_ERROR_CODE: /VMEntry: .*errcode=(\w+)/,
  VM_ENTRY_INSTRUCTION_LEN: /VMEntry: .*ilen=(\w+)/,
  EPT_POINTER: /EPT pointer = 0x(\w+)/,
  VIRTUAL_PROCESSOR_ID: /Virtual processor ID = 0x(\w+)/,
  TSC_MULTIPLIER: /TSC Multiplier = 0x(\w+)/,
};

const HOST_LABELS: { readonly [name in FieldName]?: RegExp } = {
  HOST_RIP: /\] RIP = 0x(\w+)/,
  HOST_CS_SELECTOR: /\] CS=(\w+)/,
  HOST_SS_SELECTOR: / SS=(\w+)/,
  HOST_DS_SELECTOR: / DS=(\w+)/,
  HOST_ES_SELECTOR: / ES=(\w+)/,
  HOST_FS_SELECTOR: / FS=(\w+)/,
  HOST_GS_SELECTOR: / GS=(\w+)/,
  HOST_TR_SELECTOR: / TR=(\w+)/,
  HOST_FS_BASE: /FSBase=(\w+)/,
  HOST_GS_BASE: /GSBase=(\w+)/,
  HOST_TR_BASE: /TRBase=(\w+)/,
  HOST_GDTR_BASE: /GDTBase=(\w+)/,
  HOST_IDTR_BASE: /IDTBase=(\w+)/,
  HOST_CR0: /\] CR0=(\w+)/,
  HOST_CR3: / CR3=(\w+)/,
  HOST_CR4: / CR4=(\w+)/,
  HOST_IA32_EFER: /EFER= 0x(\w+)/,
  HOST_IA32_PAT: /PAT = 0x(\w+)/,
};

/** Only the fields that a dump prints have values. */
class Dump implements CheckState {
  readonly #values = new Map<number, bigint>();
  readonly linearBits = 48;

  constructor(text: string) {
    const [guest = '', rest = ''] = text.split('*** Host State ***');
    const [host = '', controls = ''] = rest.split('*** Control State ***');
    const take = (labels: { readonly [name in FieldName]?: RegExp }, from: string): void => {
      for (const [name, label] of Object.entries(labels)) {
        const digits = label.exec(from)?.[1];
        if (digits !== undefined) this.#values.set(F[name as FieldName], BigInt(`0x${digits}`));
      }
    };
    take(LABELS, guest + controls);
    take(HOST_LABELS, host);
    const segment = /(\w\w|LDTR): +sel=0x(\w+), attr=0x(\w+), limit=0x(\w+), base=0x(\w+)/g;
    for (const [, name = '', ...digits] of guest.matchAll(segment)) {
      ['SELECTOR', 'AR_BYTES', 'LIMIT', 'BASE'].forEach((part, i) => {
        this.#values.set(F[`GUEST_${name}_${part}` as FieldName], BigInt(`0x${digits[i]}`));
      });
    }
  }

  #value(field: number): bigint {
    return this.#values.get(field) ?? unknown();
  }
  low(field: number): number {
    return Number(this.#value(field) & 0xffff_ffffn);
  }
  high(field: number): number {
    return Number(this.#value(field) >> 32n);
  }
  capabilityLow(): number {
    return unknown();
  }
  /** Not printed; the processor refused a #GP without error code, so that bit 56 of IA32_VMX_BASIC must be 0. */
  capabilityHigh(msr: number): number {
    return msr === VMX_MSR.basic ? BASIC_HIGH : unknown();
  }
  get physicalBits(): number {
    return unknown();
  }
  has(): boolean {
    return unknown();
  }
  get countersLow(): number {
    return unknown();
  }
  get countersHigh(): number {
    return unknown();
  }
  register(): number {
    return unknown();
  }
  memory(): number {
    return unknown();
  }
}

function violated(state: CheckState): string[] {
  const broken = CHECKS.filter((check) => {
    try {
      return !check.holds(state);
    } catch (error) {
      if (error instanceof Unknown) return false;
      throw error;
    }
  });
  return broken.map(({ id }) => id).sort();
}

test('each dump of a refused entry violates the check of its fault and no other', {
  skip: existsSync(FOLDER) ? false : 'the shared collection of real data is not here',
}, () => {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.txt'));
  assert.equal(files.length, 32);
  for (const file of files) {
    const expected = FAULTS[file.replace('.txt', '')];
    assert.deepEqual(violated(new Dump(readFileSync(FOLDER + file, 'utf8'))), expected, file);
  }
});
