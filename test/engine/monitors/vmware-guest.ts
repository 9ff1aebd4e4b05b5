/** A 64-bit guest of the monitor `vmware`, and how its run ended. */
import assert from 'node:assert/strict';
import { Bench } from './bench.js';
import { type Code, FAULT, guest64, ORIGIN, RESULT } from './code.js';

export const MAGIC = 0x564d_5868;
export const PORT = 0x5658;
export const BUDGET = 200_000;
export const GP = 13;

/** Runs a 64-bit guest under the monitor to its end. */
export function run(body: (code: Code) => void, guestinfo: Readonly<Record<string, string>> = {}): Bench {
  const bench = new Bench('vmware', {
    image: guest64(body),
    flat: { address: ORIGIN, bits: 64 },
    options: { guestinfo },
  });
  assert.equal(bench.run(BUDGET), 'exit', bench.console);
  return bench;
}
export const result = (bench: Bench, i = 0): number => bench.machine.memory.view.getUint32(RESULT + 4 * i, true);
export const six = (bench: Bench, at = 0): number[] => Array.from({ length: 6 }, (_, i) => result(bench, at + i));

/** The run ended well, or in the given exception with its error code. */
export const endedWell = (bench: Bench): void =>
  assert.equal(bench.machine.exitStatus, 1, JSON.stringify(faultOf(bench)));
export const faultOf = (bench: Bench): { vector: number; errorCode: number; address: number } => {
  const { view } = bench.machine.memory;
  return {
    vector: view.getUint32(FAULT.vector, true),
    errorCode: view.getUint32(FAULT.errorCode, true),
    address: view.getUint32(FAULT.address, true),
  };
};
export const endedIn = (bench: Bench, vector: number, errorCode = 0): void => {
  assert.equal(bench.machine.exitStatus, 2 * 99 + 1);
  const fault = faultOf(bench);
  assert.deepEqual([fault.vector, fault.errorCode], [vector, errorCode]);
};
