/**
 * What the fields of KVM's records do (kvm/tracepoint.ts), by number, for steps of a program. A use without a number is a
 * column that the value fills as it is, or is read by what is special about the event.
 */
export const DOES = {
  vcpu: 1,
  isa: 2,
  reason: 3,
  address: 4,
  fault: 5,
  count: 6,
  rare: 7,
  write: 8,
  refused: 9,
  access: 10,
  on: 11,
  page: 12,
  level: 13,
  vector: 14,
  destination: 15,
  msi_destination: 16,
  failure: 17,
} as const;
