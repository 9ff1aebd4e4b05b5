/** What an image prints on this machine: the same images run on other implementations of the manual. */
import { nullObserver } from '../../engine/observer.js';
import { start } from '../../engine/start.js';

/** Far more than an image needs. */
const BUDGET = 100_000_000;

/** What an image prints on COM1 of this machine; throws where it does not end. */
export function consoleHere(image: Uint8Array, name: string): string {
  const chunks: Uint8Array[] = [];
  const observer = { ...nullObserver, output: (_port: string, bytes: Uint8Array) => chunks.push(bytes.slice()) };
  const configuration = {
    cpu: 'skylake',
    monitor: 'none',
    memoryBytes: 16 << 20,
    commandLine: name,
    flat: null,
    epoch: 0,
    checkpointEvery: BUDGET,
    guestinfo: {},
  };
  const machine = start(configuration, image, `${name}.img`, observer);
  const end = machine.run(BUDGET);
  if (end !== 'exit') throw new Error(`${name} ended with ${end}`);
  return Buffer.concat(chunks).toString('latin1');
}
