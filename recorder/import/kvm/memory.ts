/**
 * Tracepoints of guest memory: paging structures, faults that are served later, dirty pages, the host's notifiers.
 * arch/x86/kvm/mmu/mmutrace.h, arch/x86/kvm/trace.h and include/trace/events/kvm.h from Linux 3.x to 6.18. Of the kinds
 * `mmu` and `mmu_page`, `code` is the level of the paging structure, 1 the lowest; of `mmu_notifier`, host addresses are
 * in `code` and `value`.
 */
import { member, same, type Tracepoint, type Tracepoints, VCPU } from './tracepoint.js';

const PAGE = { gfn: ['page', 'gfn %x'] } as const satisfies Tracepoint['fields'];
const SPTE = { spte: ['value', 'spte %x'] } as const satisfies Tracepoint['fields'];
const LEVEL = { level: ['code', 'level %d'] } as const satisfies Tracepoint['fields'];

const SHADOW_PAGE: Tracepoint['fields'] = {
  mmu_valid_gen: ['info2', 'gen %u'],
  ...PAGE,
  // libtraceevent prints the level alone
  role: ['level', 'l1=1', 'l2=2', 'l3=3', 'l4=4', 'l5=5', ' %u'],
  root_count: ['value', 'root %u'],
};
// libtraceevent prints no page's number but of those that are got
const shadowPage = member('mmu_page', SHADOW_PAGE, ['gfn'], { needsText: [] });

const WAITING = member('async_pf', { token: ['code', 'token %x'], ...same('gva') }, ['gva']);
const ASKED = member('async_pf', { ...same('gva'), ...PAGE }, ['gva']);
const notified = (what: string): Tracepoint =>
  member('mmu_notifier', { hva: ['code', `mmu notifier ${what} hva %x`, 'hva %x'] });
const TABLE_BIT = member('mmu_walk', same('gpa'), ['gpa']);
const RING: Tracepoint['fields'] = {
  index: ['code', 'ring %d'],
  dirty_index: ['value', 'dirty %x'],
  reset_index: ['old', 'reset %x'],
};

export const MEMORY: Tracepoints = {
  kvm_tdp_mmu_spte_changed: member(
    'mmu',
    {
      as_id: ['info2', 'as id %d'],
      ...PAGE,
      ...LEVEL,
      old_spte: ['old', 'old_spte %x'],
      new_spte: ['value', 'new_spte %x'],
    },
    ['old_spte', 'new_spte'],
  ),
  fast_page_fault: member(
    'mmu',
    {
      ...VCPU,
      cr2_or_gpa: ['address', 'gva %x'],
      gva: ['address'],
      error_code: ['error_code', 'error_code %pferr'],
      old_spte: ['old', 'old %x'],
      new_spte: ['value', 'new %x'],
    },
    ['old_spte', 'new_spte'],
  ),
  kvm_mmu_set_spte: member('mmu', { ...PAGE, ...SPTE, ...LEVEL, sptep: ['info2', 'at %x'] }, ['spte', 'gfn']),
  kvm_mmu_split_huge_page: member('mmu', { ...PAGE, ...SPTE, ...LEVEL, errno: ['info2', 'errno %d'] }, ['gfn']),
  kvm_mmu_spte_requested: member('mmu', { ...PAGE, pfn: ['value', 'pfn %x'], ...LEVEL }, ['gfn']),

  kvm_mmu_get_page: member('mmu_page', { ...SHADOW_PAGE, created: ['on', 'new=1', 'existing=0'] }, ['gfn']),
  kvm_mmu_sync_page: shadowPage,
  kvm_mmu_unsync_page: shadowPage,
  kvm_mmu_prepare_zap_page: shadowPage,
  kvm_mmu_zap_page: shadowPage,
  kvm_mmu_zap_all_fast: member('mmu_page', {
    mmu_valid_gen: ['info2', 'kvm-mmu-valid-gen %u'],
    mmu_used_pages: ['value', 'used_pages %x'],
  }),

  kvm_mmu_pagetable_walk: member('mmu_walk', { addr: ['gva', 'addr %x'], pferr: ['error_code', 'pferr %x'] }, ['addr']),
  kvm_mmu_paging_element: member('mmu_walk', { pte: ['value', 'pte %x'], ...LEVEL }, ['pte']),
  kvm_mmu_walker_error: member('mmu_walk', { pferr: ['error_code', 'pferr %x'] }, ['pferr']),
  kvm_mmu_set_accessed_bit: TABLE_BIT,
  kvm_mmu_set_dirty_bit: TABLE_BIT,

  mark_mmio_spte: member('mmio_cache', { ...PAGE, access: ['code', 'access %x'], gen: ['info2', 'gen %x'] }, ['gfn']),
  handle_mmio_page_fault: member(
    'mmio_cache',
    { addr: ['address', 'addr %x'], ...PAGE, access: ['code', 'access %x'] },
    ['gfn'],
  ),
  check_mmio_spte: member(
    'mmio_cache',
    { ...SPTE, kvm_gen: ['code', 'kvm_gen %x'], spte_gen: ['info2', 'spte-gen %x'] },
    ['spte'],
  ),
  vcpu_match_mmio: member('mmio_cache', { ...same('gva', 'gpa'), write: ['write', 'Write=1', 'Read=0'] }, [
    'gva',
    'gpa',
  ]),

  kvm_async_pf_not_present: WAITING,
  kvm_async_pf_ready: WAITING,
  kvm_async_pf_completed: member(
    'async_pf',
    { ...same('gva'), address: ['value', 'address %x'], pfn: ['info2', 'pfn %x'] },
    ['gva'],
  ),
  kvm_async_pf_repeated_fault: ASKED,
  kvm_async_pf_doublefault: ASKED,
  kvm_try_async_get_page: ASKED,

  kvm_unmap_hva_range: member('mmu_notifier', {
    start: ['code', 'mmu notifier unmap range %x', 'range %x'],
    end: ['value', '-- %x'],
  }),
  kvm_age_hva: member('mmu_notifier', {
    start: ['code', 'mmu notifier age hva %x', 'hva %x'],
    end: ['value', '-- %x'],
  }),
  kvm_test_age_hva: notified('test age'),
  kvm_unmap_hva: notified('unmap'),
  kvm_set_spte_hva: notified('set pte'),
  kvm_age_page: member('mmu_notifier', {
    hva: ['code', 'hva %x'],
    ...PAGE,
    level: ['info2', 'level %d'],
    referenced: ['on', 'YOUNG=1', 'OLD=0'],
  }),

  kvm_dirty_ring_push: member('dirty_log', { ...RING, offset: ['info2', 'offset %x'] }, ['dirty_index']),
  kvm_dirty_ring_reset: member('dirty_log', RING, ['dirty_index']),
  kvm_dirty_ring_exit: member('dirty_log', VCPU),
  kvm_pml_full: member('dirty_log', VCPU),

  kvm_hv_flush_tlb: member('tlb_flush', {
    processor_mask: ['info2', 'processor_mask %x'],
    address_space: ['cr3', 'address_space %x'],
    flags: ['value', 'flags %x'],
  }),
  kvm_hv_flush_tlb_ex: member('tlb_flush', {
    valid_bank_mask: ['info2', 'valid_bank_mask %x'],
    format: ['code', 'format %x'],
    address_space: ['cr3', 'address_space %x'],
    flags: ['value', 'flags %x'],
  }),
  kvm_pv_tlb_flush: member('tlb_flush', {
    ...VCPU,
    need_flush_tlb: ['on', 'need_flush_tlb true=1', 'need_flush_tlb false=0'],
  }),
};
