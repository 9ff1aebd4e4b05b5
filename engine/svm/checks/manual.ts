/** What the checks of VMRUN cite: one place for title, edition and sections. */
import type { SvmCitation } from './check.js';

export const SVM_MANUAL =
  'AMD64 Architecture Programmer’s Manual, Volume 2 (24593, revision 3.43), chapter 15, "Secure Virtual Machine"';

const cite = (section: string, title: string): SvmCitation => ({ section, title });

export const SVM_CITE = {
  vmrun: cite('15.5.1', 'Basic Operation'),
  consistency: cite('15.5.1', 'Basic Operation: Canonicalization and Consistency Checks'),
  tlb: cite('15.16.1', 'TLB Flush'),
  injection: cite('15.20', 'Event Injection'),
  nmi: cite('15.21.10', 'NMI Virtualization'),
  enablingNested: cite('15.25.3', 'Enabling Nested Paging'),
  nested: cite('15.25.4', 'Nested Paging and VMRUN/#VMEXIT'),
  avic: cite('15.29.4', 'VMCB Changes for AVIC'),
  sev: cite('15.34.3', 'Enabling SEV'),
  sevEs: cite('15.35.2', 'Enabling SEV-ES'),
  sevEsRun: cite('15.35.8', 'VMRUN'),
  vmpl: cite('15.36.7', 'Virtual Machine Privilege Levels'),
  snp: cite('15.36.12', 'Running SNP-Active Virtual Machines'),
  restrictions: cite('15.36.16', 'Interrupt Injection Restrictions'),
  sideChannels: cite('15.36.17', 'Side-Channel Protection'),
  allowed: cite('15.36.20', 'Allowed SEV Features'),
  secureAvic: cite('15.36.21', 'Secure AVIC'),
  ibs: cite('15.38', 'Instruction-Based Sampling Virtualization'),
  pmc: cite('15.39', 'Performance Monitoring Counter Virtualization'),
} as const satisfies { readonly [name: string]: SvmCitation };
