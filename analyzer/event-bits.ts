/**
 * What the bits of an event mean that is injected, that exits, or whose delivery an exit interrupted, as data.
 * Sources: Intel SDM volume 3C, "VM-Entry Controls for Event Injection", "Information for VM Exits Due to Vectored Events"
 * and "Information for VM Exits That Occur During Event Delivery"; AMD APM volume 2, 15.20, "Event Injection", and 15.7.2,
 * which has EXITINTINFO in the same format.
 */
import { type Bits, field, flag } from './detail-parts.js';

/** @param flags what an architecture, or one kind of event, has besides, by bit */
const event = (types: Bits['values'], flags: { readonly [bit: number]: string } = {}): readonly Bits[] => [
  field(7, 0, 'vector'),
  field(10, 8, 'type', types),
  ...Object.entries({ 11: 'error code', ...flags, 31: 'valid' }).map(([bit, name]) => flag(Number(bit), name)),
];

const VMX_TYPES = {
  0: 'external interrupt',
  1: 'reserved',
  2: 'NMI',
  3: 'hardware exception',
  4: 'software interrupt',
  5: 'privileged software exception',
  6: 'software exception',
  7: 'other event',
} as const;
const SVM_TYPES = {
  0: 'external or virtual interrupt',
  1: 'reserved',
  2: 'NMI',
  3: 'exception',
  4: 'software interrupt',
  5: 'reserved',
  6: 'reserved',
  7: 'reserved',
} as const;

/** It came with FRED. */
const NESTED = { 13: 'nested exception' } as const;

/** Injected, or interrupted by an exit; bit 12 is reserved in the one and undefined in the other. */
export const VMX_EVENT = event(VMX_TYPES, NESTED);
export const VMX_EXITING_EVENT = event(VMX_TYPES, { 12: 'NMI unblocking due to IRET', ...NESTED });
/** EVENTINJ and EXITINTINFO. */
export const SVM_EVENT = event(SVM_TYPES);
