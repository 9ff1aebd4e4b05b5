/** Which dictionary names the `code` of an event, by the numbers of kinds (engine/observer.ts) that every trace has. */
export const CODE_DOMAINS: readonly { readonly domain: string; readonly kinds: readonly number[] }[] = [
  { domain: 'check', kinds: [5] },
  { domain: 'field', kinds: [11, 12] }, // vmread, vmwrite
  { domain: 'msr', kinds: [20] },
  { domain: 'kvm_exit', kinds: [30] }, // userspace_exit
  { domain: 'event', kinds: [35] }, // other
  { domain: 'reason.svm', kinds: [45] }, // vmgexit
  { domain: 'apic', kinds: [46] },
];

/** Reasons of KVM_RUN (linux/kvm.h), which are the `code` of a userspace_exit. */
export const KVM_EXIT = { failEntry: 9, internalError: 17 } as const;

export const codeDomain = (kind: number): string | null =>
  CODE_DOMAINS.find(({ kinds }) => kinds.includes(kind))?.domain ?? null;
