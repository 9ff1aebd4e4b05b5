/** Numbers of the records of perf.data that are read: enum perf_event_type and perf_user_event_type. */
export const RECORD = {
  lost: 2,
  comm: 3,
  sample: 9,
  lostSamples: 13,
  attribute: 64,
  tracingData: 66,
  finishedRound: 68,
  auxTrace: 71,
  eventUpdate: 78,
  feature: 80,
  compressed: 81,
  compressed2: 83,
} as const;
/** Types beyond any that perf has given or is about to give. */
export const LAST_TYPE = 4096;

/** A 64-bit number of which 53 bits count. */
export function numberAt(little: boolean, view: DataView, at: number): number {
  const first = view.getUint32(at, little);
  const second = view.getUint32(at + 4, little);
  return little ? second * 0x1_0000_0000 + first : first * 0x1_0000_0000 + second;
}
