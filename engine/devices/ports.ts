/** The I/O port space: which device answers at which port. */
import type { PortBus } from '../cpu/cpu.js';
import { EngineError } from '../errors.js';
import type { Tick } from '../types.js';
import type { Device, PortRange } from './device.js';

interface Claim {
  readonly device: Device;
  readonly range: PortRange;
}

const PORTS = 0x1_0000;
const UNCLAIMED = 0;

export class PortMap implements PortBus {
  readonly #now: () => Tick;
  readonly #claims: (Claim | null)[] = [null];
  /** Index into #claims, a port. */
  readonly #owner = new Uint8Array(PORTS);

  /** `now` tells the tick of the access: devices are advanced to it first. Throws PORT_CONFLICT. */
  constructor(devices: readonly Device[], now: () => Tick) {
    this.#now = now;
    for (const device of devices) for (const range of device.ports) this.#claim(device, range);
  }

  #claim(device: Device, range: PortRange): void {
    const index = this.#claims.push({ device, range }) - 1;
    for (let port = range.first; port < range.first + range.count; port++) {
      const other = this.#claims[this.#owner[port] ?? UNCLAIMED];
      if (other) {
        const where = `port ${port.toString(16)}h`;
        throw new EngineError('PORT_CONFLICT', where, `${other.device.name} and ${device.name}`);
      }
      this.#owner[port] = index;
    }
  }

  /** The claim that takes the whole access in one piece, if there is one. */
  #whole(port: number, size: number): Claim | null {
    const claim = this.#claims[this.#owner[port] ?? UNCLAIMED] ?? null;
    if (claim === null || size > claim.range.width) return null;
    return port + size <= claim.range.first + claim.range.count ? claim : null;
  }

  /** Unclaimed ports read all ones, as a bus that nobody drives. Answers below 2^32. */
  in(port: number, size: number): number {
    const claim = this.#whole(port, size);
    if (claim !== null) {
      claim.device.advance(this.#now());
      return claim.device.in(port, size) >>> 0;
    }
    if (size === 1) return 0xff;
    let value = 0;
    for (let i = size - 1; i >= 0; i--) value = value * 0x100 + this.in(port + i, 1);
    return value;
  }

  out(port: number, size: number, value: number): void {
    const claim = this.#whole(port, size);
    if (claim !== null) {
      claim.device.advance(this.#now());
      claim.device.out(port, size, (value & (0xffff_ffff >>> (32 - 8 * size))) >>> 0);
    } else if (size > 1) {
      for (let i = 0; i < size; i++) this.out(port + i, 1, (value >>> (8 * i)) & 0xff);
    }
  }
}
