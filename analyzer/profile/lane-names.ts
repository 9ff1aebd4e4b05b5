/** What lanes and levels are called, and what the trace's dictionary says of a lane. */

/** Looks a code up in a domain of the trace's dictionaries; null where it is not there. */
export type NameOf = (domain: string, code: bigint) => string | null;

/** A number of the JSON that the dictionary holds of a lane: its VM or vCPU. */
function told(lane: number, saysOf: NameOf, key: 'vm' | 'vcpu'): number | null {
  try {
    const value: unknown = JSON.parse(saysOf('vcpu', BigInt(lane)) ?? 'null');
    const number = typeof value === 'object' && value !== null ? Reflect.get(value, key) : null;
    return typeof number === 'number' ? number : null;
  } catch {
    return null;
  }
}

/** Number of the vCPU that a lane is, as its VM counts them; null where the trace does not say it. */
export const vcpuNumber = (lane: number, saysOf: NameOf): number | null => told(lane, saysOf, 'vcpu');

/** The VM that a lane belongs to; null where the trace does not say it. */
export const vmNumber = (lane: number, saysOf: NameOf): number | null => told(lane, saysOf, 'vm');

export const vmName = (vm: number): string => `VM ${vm}`;
export const levelName = (level: number | null): string => `L${level ?? '?'}`;
export const laneName = (lane: number, nameOf: NameOf): string => nameOf('vcpu', BigInt(lane)) ?? `vCPU ${lane}`;
