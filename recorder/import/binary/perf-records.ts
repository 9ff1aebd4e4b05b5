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
/** Bytes before the content of a record: struct perf_event_header. */
export const HEADER = 8;

const QUEUED = (1 << RECORD.sample) | (1 << RECORD.comm) | (1 << RECORD.lost) | (1 << RECORD.lostSamples);
/** True for records that matter in the order of their time. */
export const isQueued = (type: number): boolean => type < 32 && ((QUEUED >>> type) & 1) !== 0;

/** Types beyond any that perf has given or is about to give. */
export const LAST_TYPE = 4096;

/** A 64-bit number of which 53 bits count. */
export function numberAt(little: boolean, view: DataView, at: number): number {
  const first = view.getUint32(at, little);
  const second = view.getUint32(at + 4, little);
  return little ? second * 0x1_0000_0000 + first : first * 0x1_0000_0000 + second;
}
