/**
 * What Xen traces, as data: events by their number, and the 32-bit words that their records carry. Numbers:
 * xen/include/public/trace.h (Xen 4.0 to 4.21). Words: where Xen writes them, xen/arch/x86/hvm, xen/arch/x86/mm,
 * xen/arch/x86/pv, xen/common/sched; its readers (tools/xentrace/formats, xenalyze.c) take those of PF_XEN the other
 * way round, and no Xen wrote them so. An event that is not listed is kept whole, with its number for a name.
 */
import { EVENT_FLAGS, type EventField, type EventKind } from '../../../engine/observer.js';

/** What a word is for that fills no column: who runs from now on, whom the event is about. */
export type Role = 'vcpu' | 'domain' | 'domain_vcpu' | 'next_vcpu' | 'next_domain';
export type Use = EventField | Role | 'text';

export interface XenField {
  readonly name: string;
  /** 2: a 64-bit number, low word first. */
  readonly words: 1 | 2;
  readonly use: Use;
  /** Value that says there is none. */
  readonly none?: number;
  /** Bits that are the number; what else there is makes the word text as well. */
  readonly mask?: number;
}

export interface XenEvent {
  readonly name: string;
  readonly kind: EventKind;
  /** One layout for each number of words that versions of Xen wrote. */
  readonly layouts: readonly (readonly XenField[])[];
  readonly flags?: number;
  /** What it is about, where no word says it: an exception, a register. */
  readonly code?: number;
  /** Text that stands before the words, as KVM's events have it; without it that of a kind of its own has none. */
  readonly says?: string;
  /** The guest is a nested one. */
  readonly nested?: true;
  /** `exit` of which the number does not say whether VMX or SVM. */
  readonly isa?: 'svm' | 'unsaid';
  /** The vCPU that the event names runs on this host CPU from now on, or no more. */
  readonly runs?: 'on' | 'off';
}

/** Numbers of what says how to read the file. */
export const LOST_RECORDS = 0x1f001;
export const WRAP_BUFFER = 0x1f002;
export const CPU_CHANGE = 0x1f003;

const word = (name: string, use: Use = 'text', none?: number): XenField =>
  none === undefined ? { name, words: 1, use } : { name, words: 1, use, none };
const long = (name: string, use: Use = 'text'): XenField => ({ name, words: 2, use });

/** Words by their names, `name` of 32 bits and `name:64`, that have no column. */
const plain = (names: string): XenField[] =>
  names
    .split(' ')
    .filter((name) => name !== '')
    .map((name) => (name.endsWith(':64') ? long(name.slice(0, -3)) : word(name)));

type Numbered = readonly [number, XenEvent];
type More = Partial<Omit<XenEvent, 'name' | 'kind' | 'layouts'>>;

/** Bit of events whose addresses have 64 bits, and of those of a nested guest. */
const WIDE = 0x100;
const NESTED = 0x400;

const one = (number: number, name: string, kind: EventKind, fields: readonly XenField[], more: More = {}): Numbered => [
  number,
  { name, kind, layouts: [fields], ...more },
];

/** An event in both widths; `fields` gets what makes an address of the width. */
const both = (
  number: number,
  name: string,
  kind: EventKind,
  fields: (address: typeof word | typeof long) => XenField[],
  more: More = {},
): Numbered[] => [one(number, name, kind, fields(word), more), one(number | WIDE, name, kind, fields(long), more)];

const of = (kind: EventKind, number: number, name: string, words = ''): Numbered =>
  one(number, name, kind, plain(words));
const other = (number: number, name: string, words = ''): Numbered => of('other', number, name, words);
/** The same in both widths: words that end in `=` have the width. */
const others = (number: number, name: string, words: string): Numbered[] => [
  other(number, name, words.replaceAll('=', '')),
  other(number | WIDE, name, words.replaceAll('=', ':64')),
];

const { write } = EVENT_FLAGS;
/** hvm_inject_event() without an error code. */
const NO_ERROR_CODE = 0xffff_ffff;
const PAGE_FAULT = 14;

const EXIT = (address: typeof word | typeof long): XenField[] => [word('exitcode', 'reason'), address('rip', 'rip')];

const SWITCHES: Numbered[] = [
  one(0x81001, 'VMENTRY', 'entry', []),
  one(0x81001 | NESTED, 'nVMENTRY', 'entry', [], { nested: true }),
  ...both(0x81002, 'VMEXIT', 'exit', EXIT, { isa: 'unsaid' }),
  ...both(0x81002 | NESTED, 'nVMEXIT', 'exit', EXIT, { isa: 'unsaid', nested: true }),
  // an event of its own from Xen 4.19 on
  ...both(0x81003, 'VMEXIT', 'exit', EXIT, { isa: 'svm' }),
  ...both(0x81003 | NESTED, 'nVMEXIT', 'exit', EXIT, { isa: 'svm', nested: true }),
];

/** What an emulated access carries: its address, and its data unless that is in the guest's memory. */
const ACCESS = (use: EventField, wide: boolean, name: string): Pick<XenEvent, 'layouts'> => {
  const make = wide ? long : word;
  return { layouts: [[make(name, use), make('data', 'value')], [make(name, use)]] };
};
const access = (number: number, name: string, kind: 'io' | 'mmio', flags: number): Numbered[] =>
  [false, true].map((wide) => {
    const layout = kind === 'io' ? ACCESS('code', wide, 'port') : ACCESS('gpa', wide, 'addr');
    return [wide ? number | WIDE : number, { name, kind, flags, ...layout }];
  });

const HANDLERS: Numbered[] = [
  ...both(0x82001, 'PF_XEN', 'page_fault', (address) => [word('error_code', 'error_code'), address('va', 'gva')]),
  ...both(
    0x82002,
    'PF_INJECT',
    'inject',
    (address) => [word('error_code', 'error_code', NO_ERROR_CODE), address('cr2', 'gva')],
    { code: PAGE_FAULT },
  ),
  one(0x82003, 'INJ_EXC', 'inject', [word('vector', 'code'), word('error_code', 'error_code', NO_ERROR_CODE)]),
  one(0x82004, 'INJ_VIRQ', 'inject', [word('vector', 'code'), word('fake', 'text', 0)], { says: 'IRQ' }),
  one(0x82005, 'REINJ_VIRQ', 'inject', [word('vector', 'code')], { says: 'IRQ [reinjected]' }),
  one(0x82006, 'IO_READ', 'io', [word('port', 'code'), word('size', 'size')]),
  one(0x82007, 'IO_WRITE', 'io', [word('port', 'code'), word('size', 'size')], { flags: write }),
  ...both(0x82008, 'CR_READ', 'cr', (number) => [word('cr', 'code'), number('value', 'value')]),
  ...both(0x82009, 'CR_WRITE', 'cr', (number) => [word('cr', 'code'), number('value', 'value')], { flags: write }),
  other(0x8200a, 'DR_READ'),
  other(0x8200b, 'DR_WRITE'),
  one(0x8200c, 'MSR_READ', 'msr', [word('msr', 'code'), long('value', 'value')]),
  one(0x8200d, 'MSR_WRITE', 'msr', [word('msr', 'code'), long('value', 'value')], { flags: write }),
  [
    0x8200e,
    {
      name: 'CPUID',
      kind: 'cpuid',
      layouts: [
        [word('leaf', 'code'), ...plain('subleaf eax ebx ecx edx')],
        [word('leaf', 'code'), ...plain('eax ebx ecx edx')],
      ],
    },
  ],
  [0x8200f, { name: 'INTR', kind: 'other', layouts: [plain('vector'), []] }],
  other(0x82010, 'NMI'),
  other(0x82011, 'SMI'),
  one(0x82012, 'VMMCALL', 'vmcall', [word('eax', 'code')]),
  one(0x82013, 'HLT', 'hlt', plain('pending')),
  ...both(0x82014, 'INVLPG', 'other', (address) => [word('invlpga'), address('va', 'gva')]),
  other(0x82015, 'MCE'),
  ...access(0x82016, 'IOPORT_READ', 'io', 0),
  ...access(0x82216, 'IOPORT_WRITE', 'io', write),
  ...access(0x82017, 'IOMEM_READ', 'mmio', 0),
  ...access(0x82217, 'IOMEM_WRITE', 'mmio', write),
  one(0x82018, 'CLTS', 'cr', [], { flags: write, code: 0, says: 'CLTS' }),
  ...both(0x82019, 'LMSW', 'cr', (number) => [number('value', 'value')], {
    flags: write,
    code: 0,
    says: 'LMSW',
  }),
  one(0x8201a, 'RDTSC', 'other', [long('tsc', 'value')]),
  other(0x82020, 'INTR_WINDOW', 'vector source pending'),
  one(0x82021, 'NPF', 'page_fault', [long('gpa', 'gpa'), long('mfn'), word('qual', 'qualification'), word('p2mt')]),
  other(0x82022, 'REALMODE_EMULATE'),
  other(0x82023, 'TRAP', 'vector'),
  other(0x82024, 'TRAP_DEBUG', 'qualification'),
  other(0x82025, 'VLAPIC'),
  one(0x82126, 'XCR_READ', 'other', [word('xcr'), long('value', 'value')]),
  one(0x82127, 'XCR_WRITE', 'other', [word('xcr'), long('value', 'value')], { flags: write }),
];

const DEVICES: Numbered[] = [
  of('timer', 0x84001, 'HPET_START_TIMER', 'tn irq delta:64 period:64'),
  of('timer', 0x84002, 'PIT_START_TIMER', 'delta period'),
  of('timer', 0x84003, 'RTC_START_TIMER', 'delta period'),
  of('timer', 0x84004, 'LAPIC_START_TIMER', 'delta:64 period:64 irq'),
  of('timer', 0x84005, 'HPET_STOP_TIMER', 'tn'),
  of('timer', 0x84006, 'PIT_STOP_TIMER'),
  of('timer', 0x84007, 'RTC_STOP_TIMER'),
  of('timer', 0x84008, 'LAPIC_STOP_TIMER'),
  of('timer', 0x84009, 'PIT_TIMER_CB'),
  of('timer', 0x8400a, 'LAPIC_TIMER_CB'),
  of('irq_line', 0x8400b, 'PIC_INT_OUTPUT', 'int_output is_master irq'),
  of('irq_line', 0x8400c, 'PIC_KICK', 'irq'),
  of('irq_line', 0x8400d, 'PIC_INTACK', 'is_master irq'),
  of('irq_line', 0x8400e, 'PIC_POSEDGE', 'irq'),
  of('irq_line', 0x8400f, 'PIC_NEGEDGE', 'irq'),
  of('irq_line', 0x84010, 'PIC_PEND_IRQ_CALL', 'accept_pic_intr int_output'),
  of('irq_line', 0x84011, 'LAPIC_PIC_INTR', 'i8259_target accept_pic_intr'),
];

const STATES = ['running', 'runnable', 'blocked', 'offline'];
const RUNNING = 0;

/** Changes of a vCPU's state: the old one in bits 8 and 9 of the number, the new one in bits 4 and 5. */
const RUNSTATES: Numbered[] = STATES.flatMap((from, old) =>
  STATES.map((to, now): Numbered => {
    const more: More = now === RUNNING ? { runs: 'on' } : old === RUNNING ? { runs: 'off' } : {};
    return one(0x21001 | (old << 8) | (now << 4), `${from}_to_${to}`, 'other', [word('vcpu', 'domain_vcpu')], more);
  }),
);

/** Domain and vCPU in a word each, then what has no column. */
const who = (words = ''): XenField[] => [word('domain', 'domain'), word('vcpu', 'vcpu'), ...plain(words)];

const SCHEDULER: Numbered[] = [
  ...RUNSTATES,
  one(0x21002, 'continue_running', 'other', [word('vcpu', 'domain_vcpu')], { runs: 'on' }),
  other(0x28001, 'sched_add_domain', 'domain'),
  other(0x28002, 'sched_rem_domain', 'domain'),
  one(0x28003, 'domain_sleep', 'other', who()),
  one(0x28004, 'domain_wake', 'other', who()),
  one(0x28005, 'do_yield', 'other', who()),
  one(0x28006, 'do_block', 'other', who()),
  one(0x28007, 'domain_shutdown', 'other', who('reason')),
  other(0x28008, 'sched_ctl'),
  other(0x28009, 'sched_adjdom', 'domain'),
  one(0x2800a, 'sched_switch', 'other', [...who(), word('next_domain', 'next_domain'), word('next_vcpu', 'next_vcpu')]),
  other(0x2800b, 's_timer_fn'),
  other(0x2800c, 't_timer_fn'),
  other(0x2800d, 'dom_timer_fn'),
  one(0x2800e, 'switch_infprev', 'other', who('runtime'), { runs: 'off' }),
  one(0x2800f, 'switch_infnext', 'other', who('wait r_time'), { runs: 'on' }),
  one(0x28010, 'domain_shutdown_code', 'other', who('reason')),
  one(0x28011, 'switch_infcont', 'other', who('runtime r_time'), { runs: 'on' }),
];

/** Events of the schedulers themselves: number of the scheduler in bits 9 to 11. */
const SCHEDULERS: Numbered[] = [
  other(0x22001, 'csched:sched_tasklet'),
  one(0x22002, 'csched:account_start', 'other', who('active')),
  one(0x22003, 'csched:account_stop', 'other', who('active')),
  other(0x22004, 'csched:stolen_vcpu', 'from domain vcpu'),
  one(0x22005, 'csched:picked_cpu', 'other', who('cpu')),
  other(0x22006, 'csched:tickle', 'cpu'),
  one(0x22007, 'csched:boost', 'other', who()),
  one(0x22008, 'csched:unboost', 'other', who()),
  other(0x22009, 'csched:schedule', 'cpu_tasklet_idle'),
  other(0x2200a, 'csched:ratelimit', 'vcpu runtime'),
  other(0x2200b, 'csched:steal_check', 'peer_cpu checked'),
  other(0x22201, 'csched2:tick'),
  other(0x22202, 'csched2:runq_pos', 'vcpu pos'),
  other(0x22203, 'csched2:credit_burn', 'vcpu credit budget delta'),
  other(0x22204, 'csched2:credit_add'),
  other(0x22205, 'csched2:tickle_check', 'vcpu credit score'),
  other(0x22206, 'csched2:tickle', 'cpu'),
  other(0x22207, 'csched2:credit_reset', 'vcpu cr_start cr_end'),
  other(0x22208, 'csched2:sched_tasklet'),
  other(0x22209, 'csched2:update_load'),
  other(0x2220a, 'csched2:runq_assign', 'vcpu rq_id'),
  other(0x2220b, 'csched2:update_vcpu_load', 'vcpuload:64 vcpu wshift'),
  other(0x2220c, 'csched2:update_runq_load', 'rq_avgload:64 b_avgload:64 rq_load'),
  other(0x2220d, 'csched2:tickle_new', 'vcpu processor credit'),
  other(0x2220e, 'csched2:runq_max_weight', 'rq_id'),
  other(0x2220f, 'csched2:migrate', 'vcpu rq_id'),
  other(0x22210, 'csched2:load_check', 'rq_id delta'),
  other(0x22211, 'csched2:load_balance', 'l_bavgload:64 o_bavgload:64 rq_id'),
  other(0x22212, 'csched2:pick_cpu', 'b_avgload:64 vcpu rq_id'),
  other(0x22213, 'csched2:runq_candidate', 'vcpu tickled_cpu credit'),
  other(0x22214, 'csched2:schedule', 'rq_cpu tasklet_idle'),
  other(0x22215, 'csched2:ratelimit', 'vcpu runtime'),
  other(0x22216, 'csched2:runq_cand_check', 'vcpu'),
  other(0x22801, 'rtds:tickle', 'cpu'),
  other(0x22802, 'rtds:runq_pick', 'vcpu cur_deadline:64 cur_budget:64'),
  other(0x22803, 'rtds:burn_budget', 'vcpu cur_budget:64 delta'),
  other(0x22804, 'rtds:repl_budget', 'vcpu cur_deadline:64 cur_budget:64'),
  other(0x22805, 'rtds:sched_tasklet'),
  other(0x22806, 'rtds:schedule', 'cpu_tasklet_idle'),
  other(0x22a01, 'null:pick_cpu', 'vcpu new_cpu'),
  other(0x22a02, 'null:assign', 'vcpu cpu'),
  other(0x22a03, 'null:deassign', 'vcpu cpu'),
  other(0x22a04, 'null:migrate', 'vcpu new_cpu'),
  other(0x22a05, 'null:schedule', 'cpu_tasklet vcpu'),
  other(0x22a06, 'null:sched_tasklet'),
];

/** The call, and above it which arguments follow (TRC_PV_HYPERCALL_V2). */
const HYPERCALL: XenField = { name: 'op', words: 1, use: 'code', mask: 0xf_ffff };

const PARAVIRTUAL: Numbered[] = [
  ...both(0x201001, 'hypercall', 'vmcall', (address) => [address('rip', 'rip'), word('eax', 'code')]),
  ...both(0x201003, 'trap', 'other', (address) => [address('rip', 'rip'), word('trapnr_error')]),
  ...both(0x201004, 'page_fault', 'page_fault', (address) => [
    address('rip', 'rip'),
    address('addr', 'gva'),
    word('error_code', 'error_code'),
  ]),
  ...both(0x201005, 'forced_invalid_op', 'other', (address) => [address('rip', 'rip')]),
  ...both(0x201006, 'emulate_privop', 'other', (address) => [address('rip', 'rip')]),
  ...both(0x201007, 'emulate_4gb', 'other', (address) => [address('rip', 'rip')]),
  other(0x201008, 'math_state_restore'),
  other(0x201108, 'math_state_restore'),
  ...others(0x201009, 'paging_fixup', 'rip= addr='),
  ...others(0x20100a, 'gdt_ldt_mapping_fault', 'rip= offset='),
  ...others(0x20100b, 'ptwr_emulation', 'npte:64 addr= rip='),
  ...others(0x20100c, 'ptwr_emulation_pae', 'npte:64 addr= rip='),
  one(0x20100d, 'hypercall', 'vmcall', [HYPERCALL]),
  one(0x20200e, 'hypercall_subcall', 'vmcall', [HYPERCALL], { says: 'subcall' }),
];

/**
 * Events of shadow paging: the levels of the guest's page tables less 2 are in bits 8 and 9 of the number. Frames and
 * entries have 64 bits with 3 levels, linear addresses with 4.
 */
const shadow = (number: number, name: string, words: string): Numbered[] =>
  [0, 1, 2].map((levels) => {
    const pte = levels > 0 ? ':64' : '';
    const va = levels > 1 ? ':64' : '';
    return of('mmu', number | (levels << 8), name, words.replaceAll('=pte', pte).replaceAll('=va', va));
  });

const SHADOW: Numbered[] = [
  ...shadow(0x40f001, 'shadow_not_shadow', 'gl1e=pte va=va flags'),
  ...shadow(0x40f002, 'shadow_fast_propagate', 'va=va'),
  ...shadow(0x40f003, 'shadow_fast_mmio', 'va=va'),
  ...shadow(0x40f004, 'shadow_false_fast_path', 'va=va'),
  ...shadow(0x40f005, 'shadow_mmio', 'va=va'),
  ...shadow(0x40f006, 'shadow_fixup', 'gl1e=pte va=va flags'),
  ...shadow(0x40f007, 'shadow_domf_dying', 'va=va'),
  ...shadow(0x40f008, 'shadow_emulate', 'gl1e=pte write_val=pte va=va flags'),
  ...shadow(0x40f009, 'shadow_emulate_unshadow_user', 'gfn=pte va=va flags'),
  ...shadow(0x40f00a, 'shadow_emulate_unshadow_evtinj', 'gfn=pte va=va flags'),
  ...shadow(0x40f00b, 'shadow_emulate_unshadow_unhandled', 'gfn=pte va=va flags'),
  of('mmu', 0x40f00c, 'shadow_wrmap_bf', 'gfn:64'),
  of('mmu', 0x40f00d, 'shadow_prealloc_unpin', 'gfn:64'),
  of('mmu', 0x40f00e, 'shadow_resync_full', 'gfn:64'),
  of('mmu', 0x40f00f, 'shadow_resync_only', 'gfn:64'),
];

const HOST: Numbered[] = [
  other(0x1f004, 'trace_irq', 'vector count tot_cycles max_cycles'),
  other(0x41001, 'domain_create', 'domain'),
  other(0x41002, 'domain_destroy', 'domain'),
  other(0x10f001, 'page_grant_map', 'domain'),
  other(0x10f002, 'page_grant_unmap', 'domain'),
  other(0x10f003, 'page_grant_transfer', 'domain'),
  of('mmu', 0x10f004, 'set_p2m_entry', 'gfn:64 mfn:64 p2mt domain_order'),
  other(0x10f005, 'decrease_reservation', 'gfn:64 domain_order'),
  of('mmu', 0x10f010, 'pod_populate', 'gfn:64 mfn:64 domain_order'),
  of('mmu', 0x10f011, 'pod_zero_reclaim', 'gfn:64 mfn:64 domain_order'),
  of('mmu', 0x10f012, 'pod_superpage_splinter', 'gfn:64 domain_order'),
  other(0x801001, 'cpu_freq_change', 'from_mhz to_mhz'),
  other(0x801002, 'cpu_idle_entry', 'cstate pm_tick expected predicted'),
  other(0x801003, 'cpu_idle_exit', 'cstate pm_tick irq0 irq1 irq2 irq3'),
  other(0x802001, 'cleanup_move_delayed', 'irq vector cpu'),
  other(0x802002, 'cleanup_move', 'irq vector cpu'),
  other(0x802003, 'bind_vector', 'irq vector cpu_mask'),
  other(0x802004, 'clear_vector', 'irq vector cpu_mask'),
  other(0x802005, 'move_vector', 'irq vector cpu'),
  other(0x802006, 'assign_vector', 'irq vector cpu_mask'),
  other(0x802007, 'bogus_vector', 'vector'),
  other(0x802008, 'do_irq', 'irq began_us ended_us'),
];

export const XEN_EVENTS: ReadonlyMap<number, XenEvent> = new Map([
  ...SWITCHES,
  ...HANDLERS,
  ...DEVICES,
  ...SCHEDULER,
  ...SCHEDULERS,
  ...PARAVIRTUAL,
  ...SHADOW,
  ...HOST,
]);
