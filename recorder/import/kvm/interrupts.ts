/**
 * Tracepoints of interrupts, APICs, timers, clocks and Hyper-V's devices: arch/x86/kvm/trace.h and
 * include/trace/events/kvm.h from Linux 3.x to 6.18. Of kind `irq`, `code` is the vector and `value` where it goes.
 */
import { member, plain, type Tracepoint, type Tracepoints, VCPU } from './tracepoint.js';

const ACCEPT = member('irq', { apicid: ['value', 'apicid %x'], vec: ['code', 'vec %u'] });
const EOI = member('irq', { apicid: ['value', 'apicid %x'], vector: ['code', 'vector %d'] });

/** Hyper-V's own numbers of vCPUs that are told to do something, or whose timer runs out in any thread. */
const TARGET = { vcpu_id: ['value', 'vcpu_id %d'] } as const satisfies Tracepoint['fields'];
const HV_VCPU = { vcpu_id: ['vcpu', 'vcpu_id %d'] } as const satisfies Tracepoint['fields'];
const TIMER = { timer_index: ['code', 'timer %d'] } as const satisfies Tracepoint['fields'];
const HOST = { host: ['on', 'host %d'] } as const satisfies Tracepoint['fields'];
const MSR = { msr: ['code', 'msr %x'], data: ['value', 'data %x'] } as const satisfies Tracepoint['fields'];
const SYNDBG = { ...HV_VCPU, vp_index: ['info2', 'vp_index %u'], ...MSR } as const satisfies Tracepoint['fields'];

/** The vCPU of a clock may be one that is being made, in a thread that is not its own. */
const CLOCK_OF = { vcpu_id: ['code', 'vcpu_id %u'] } as const satisfies Tracepoint['fields'];
const MASTER = { use_master_clock: ['on', 'masterclock %u'] } as const satisfies Tracepoint['fields'];
const HOST_CLOCK = { host_clock: ['info2', 'hostclock %clock'] } as const satisfies Tracepoint['fields'];

export const INTERRUPTS: Tracepoints = {
  kvm_apic_accept_irq: ACCEPT,
  kvm_apicv_accept_irq: ACCEPT,
  kvm_apic_ipi: member('irq', { dest_id: ['value', 'dst %x'], icr_low: ['vector', 'vec %u'] }),
  kvm_msi_set_irq: member('irq', { address: ['msi_destination', 'dst %x'], data: ['vector', 'vec %u'] }),
  kvm_ioapic_set_irq: member('irq', {
    pin: ['info2', 'pin %u'],
    e: [
      ['destination', 'dst %x'],
      ['vector', 'vec %u'],
    ],
  }),
  kvm_ioapic_delayed_eoi_inj: member('irq', {
    e: [
      ['destination', 'dst %x'],
      ['vector', 'vec %u'],
    ],
  }),
  kvm_eoi: EOI,
  kvm_pv_eoi: EOI,
  kvm_hv_send_ipi: member('irq', { vector: ['code', 'vector %x'], processor_mask: ['value', 'processor_mask %x'] }),
  kvm_hv_send_ipi_ex: member('irq', {
    vector: ['code', 'vector %x'],
    format: ['info2', 'format %x'],
    valid_bank_mask: ['value', 'valid_bank_mask %x'],
  }),
  kvm_hv_synic_set_irq: member('irq', {
    ...TARGET,
    sint: ['info2', 'sint %u'],
    vector: ['code', 'vector %d'],
  }),
  kvm_hv_synic_send_eoi: member('irq', { ...TARGET, vector: ['code', 'vector %d'] }),
  kvm_avic_incomplete_ipi: member('irq', {
    vcpu: ['vcpu', 'vcpu %u'],
    icrh: ['value', 'icrh:icrl %x'],
    icrl: ['vector', ': %x'],
    id: ['info2', 'id %u'],
  }),
  kvm_avic_kick_vcpu_slowpath: member('irq', {
    icrh: ['value', 'icrh:icrl %x'],
    icrl: ['vector', ': %x'],
    index: ['info2', 'index %u'],
  }),
  kvm_avic_doorbell: member('irq', { vcpuid: ['info2', 'vcpuid %u'], apicid: ['value', 'apicid %u'] }),

  kvm_set_irq: member('irq_line', {
    gsi: ['code', 'gsi %u'],
    level: ['on', 'level %d'],
    irq_source_id: ['info2', 'source %d'],
  }),
  kvm_pic_set_irq: member('irq_line', { chip: ['info2', 'chip %u'], pin: ['code', 'pin %u'] }),
  kvm_ack_irq: member('irq_line', {
    irqchip: ['info2', 'irqchip PIC master=0', 'irqchip PIC slave=1', 'irqchip IOAPIC=2', 'irqchip %x'],
    pin: ['code', 'pin %u'],
  }),

  kvm_pi_irte_update: member('posted_irq', {
    set: ['on', 'PI is enabled=1', 'PI is disabled=0'],
    vcpu_id: ['value', 'vcpu %d'],
    gsi: ['info2', 'gsi %x'],
    gvec: ['code', 'gvec %x'],
  }),
  kvm_avic_ga_log: member('posted_irq', { vmid: ['info2', 'vmid %u'], vcpuid: ['value', 'vcpuid %u'] }),

  kvm_apic: plain(
    'apic',
    {
      rw: ['write', 'apic_write=1', 'apic_read=0'],
      reg: ['code', 'apic_write %apic', 'apic_read %apic'],
      val: ['value', '= %x'],
    },
    ['rw', 'reg', 'val'],
  ),
  kvm_avic_unaccelerated_access: member('apic', {
    vcpu: ['vcpu', 'vcpu %u'],
    offset: ['code', 'offset %x'],
    rw: ['write', 'write=1', 'read=0'],
    vec: ['info2', 'vec %x'],
  }),
  kvm_apicv_inhibit_changed: member(
    'apicv',
    { set: ['on', 'set=1', 'cleared=0'], reason: ['code', 'reason %u'], inhibits: ['value', 'inhibits %x'] },
    ['reason'],
  ),
  kvm_apicv_update_request: member('apicv', {
    activate: ['on', 'activate=1', 'deactivate=0'],
    bit: ['code', 'bit %u'],
    reason: ['code', 'reason %u'],
  }),

  kvm_hv_timer_state: member('timer', {
    vcpu_id: ['vcpu', 'vcpu_id %x'],
    hv_timer_in_use: ['on', 'hv_timer %x'],
  }),
  kvm_wait_lapic_expire: member('timer', { ...VCPU, delta: ['value', 'delta %d'] }, ['delta']),
  kvm_write_tsc_offset: member(
    'clock',
    {
      vcpu_id: ['code', 'vcpu %u'],
      previous_tsc_offset: ['old', 'prev %u'],
      next_tsc_offset: ['value', 'next %u'],
    },
    ['previous_tsc_offset', 'next_tsc_offset'],
  ),
  kvm_track_tsc: member('clock', {
    ...CLOCK_OF,
    ...MASTER,
    nr_vcpus_matched_tsc: ['value', 'offsetmatched %u'],
    ...HOST_CLOCK,
  }),
  kvm_update_master_clock: member('clock', {
    ...MASTER,
    ...HOST_CLOCK,
    offset_matched: ['value', 'offsetmatched %u'],
  }),
  kvm_pvclock_update: member('clock', {
    ...CLOCK_OF,
    tsc_timestamp: ['info2', 'tsc_timestamp %x'],
    system_time: ['value', 'system_time %x'],
  }),

  kvm_hv_hypercall_done: member('hyperv', { result: ['value', 'result %x'] }),
  kvm_hv_notify_acked_sint: member('hyperv', { ...HV_VCPU, sint: ['code', 'sint %u'] }),
  kvm_hv_synic_set_msr: member('hyperv', { ...HV_VCPU, ...MSR, ...HOST }, ['msr'], { flags: 'write' }),
  kvm_hv_syndbg_set_msr: member('hyperv', SYNDBG, ['msr'], { flags: 'write' }),
  kvm_hv_syndbg_get_msr: member('hyperv', SYNDBG, ['msr']),
  kvm_hv_stimer_set_config: member('hyperv', { ...HV_VCPU, ...TIMER, config: ['value', 'config %x'], ...HOST }),
  kvm_hv_stimer_set_count: member('hyperv', { ...HV_VCPU, ...TIMER, count: ['value', 'count %u'], ...HOST }),
  kvm_hv_stimer_start_one_shot: member('hyperv', {
    ...HV_VCPU,
    ...TIMER,
    time_now: ['old', 'time_now %u'],
    count: ['value', 'count %u'],
  }),
  kvm_hv_stimer_start_periodic: member('hyperv', {
    ...HV_VCPU,
    ...TIMER,
    time_now: ['old', 'time_now %u'],
    exp_time: ['value', 'exp_time %u'],
  }),
  kvm_hv_stimer_callback: member('hyperv', { ...TARGET, ...TIMER }),
  kvm_hv_stimer_cleanup: member('hyperv', { ...TARGET, ...TIMER }),
  kvm_hv_stimer_expiration: member('hyperv', {
    ...HV_VCPU,
    ...TIMER,
    direct: ['on', 'direct %d'],
    msg_send_result: ['value', 'send result %d', 'result %d'],
  }),
};
