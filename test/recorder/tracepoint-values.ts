/** Records of tracepoints with values that a kernel could have written. */
import assert from 'node:assert/strict';
import { parseFormat } from '../../recorder/import/binary/formats.js';
import { type Made, makeRecord, type Round } from './format-records.js';
import type { Values } from './kernel-print.js';

/** Values of fields that cannot be any number. */
const GIVEN: { readonly [tracepoint: string]: { readonly [round in Round]: Values } } = {
  kvm_exit: { high: { exit_reason: 10n, isa: 1n }, low: { exit_reason: 12n, isa: 1n } },
  kvm_nested_vmexit: {
    high: { exit_reason: 10n, exit_code: 10n, isa: 1n },
    low: { exit_reason: 12n, exit_code: 12n, isa: 1n },
  },
  kvm_nested_vmexit_inject: { high: { exit_code: 10n, isa: 1n }, low: { exit_code: 12n, isa: 1n } },
  kvm_nested_vmenter: { high: { isa: 1n }, low: { isa: 2n } },
  kvm_nested_vmenter_failed: {
    high: { msg: 'early hardware check VM-instruction error: ', err: 7n },
    low: { msg: '!nested_cpu_has_vid(vmcs12)', err: 0n },
  },
  kvm_ioapic_set_irq: { high: { pin: 23n, e: 0xab00_0000_0001_e9c3n }, low: { pin: 2n } },
  kvm_ioapic_delayed_eoi_inj: { high: { e: 0xab00_0000_0001_e9c3n }, low: {} },
  kvm_msi_set_irq: { high: { address: 0x1234_5600_fee7_800cn, data: 0x49c3n }, low: { address: 0xfee0_1000n } },
  kvm_apicv_inhibit_changed: { high: { reason: 3n }, low: {} },
  kvm_pio: { high: { rw: 1n, size: 4n, count: 1n }, low: { rw: 0n, size: 1n, count: 1n } },
  kvm_mmio: { high: { type: 2n, len: 8n }, low: { type: 0n, len: 4n } },
  kvm_msr: { high: { write: 1n, exception: 1n }, low: { write: 0n, exception: 0n } },
  kvm_cr: { high: { rw: 1n }, low: { rw: 0n } },
  kvm_apic: { high: { rw: 1n, reg: 0x80n }, low: { rw: 0n, reg: 0x830n } },
  kvm_emulate_insn: { high: { len: 3n, flags: 9n, failed: 1n }, low: { len: 2n, flags: 1n, failed: 0n } },
  kvm_inj_virq: { high: { vector: 0x30n, irq: 0x30n }, low: { vector: 0xffn } },
  kvm_inj_exception: { high: { exception: 14n, has_error: 1n }, low: { exception: 6n, has_error: 0n } },
  kvm_userspace_exit: { high: { reason: 6n, errno: 0n }, low: { reason: 0n, errno: -4n } },
  kvm_set_irq: { high: { level: 1n }, low: { level: 0n } },
  kvm_ack_irq: { high: { irqchip: 1n }, low: { irqchip: 2n } },
  kvm_fpu: { high: { load: 1n }, low: { load: 0n } },
  kvm_track_tsc: { high: { host_clock: 1n }, low: { host_clock: 0n } },
  kvm_update_master_clock: { high: { host_clock: 1n }, low: { host_clock: 2n } },
  kvm_hv_timer_state: { high: { hv_timer_in_use: 1n }, low: { hv_timer_in_use: 0n } },
  kvm_hv_stimer_expiration: { high: { direct: 1n }, low: { direct: 0n } },
  fast_page_fault: { high: { error_code: 0x8017n }, low: { error_code: 0n } },
  kvm_age_page: { high: { referenced: 1n }, low: { referenced: 0n } },
};
const SHADOW_PAGES = ['get_page', 'sync_page', 'unsync_page', 'prepare_zap_page'].map((name) => `kvm_mmu_${name}`);
/** Page table levels of x86. */
const LEVELS = { high: { role: 0xc2a5n }, low: { role: 0x1n } } as const;

/** A format file, and the system that it belongs to. */
export interface Description {
  readonly system: string;
  readonly source: string;
}

/** A record of a format file. */
export function recordOf({ system, source }: Description, round: Round): Made {
  const format = parseFormat(system, source) ?? assert.fail(source.slice(0, 80));
  const given = SHADOW_PAGES.includes(format.name) ? LEVELS[round] : (GIVEN[format.name]?.[round] ?? {});
  return makeRecord(format, source, round, given);
}

/** An exit whose faults have physical addresses, as its format file has it. */
export function exitRecord(descriptions: readonly Description[]): Made {
  const { system, source } = descriptions.find(({ source: text }) => /^name: kvm_exit$/m.test(text)) ?? assert.fail();
  const format = parseFormat(system, source) ?? assert.fail();
  return makeRecord(format, source, 'low', { exit_reason: 49n, isa: 1n });
}
