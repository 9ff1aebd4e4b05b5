/**
 * Compares our machine with this host's CPU case by case and shows the first difference of each instruction. After the
 * build: node dist/test/engine/native/compare.js [part of the instruction's text]
 */
import { readFileSync } from 'node:fs';
import { inPackage } from '../../../traces/guests/guest.js';
import { Subject } from '../cpu/subject.js';
import { fillInputs, newState, type Outcome, parseVector, REGISTERS, type State } from './cases.js';
import { Harness } from './harness.js';
import { isUndefined, maskOutcome } from './undefined.js';

const hex = (n: bigint | number): string => n.toString(16);

function differences(ours: Outcome, native: Outcome): string[] {
  const lines: string[] = [];
  REGISTERS.forEach((name, i) => {
    if (ours.regs[i] !== native.regs[i])
      lines.push(`${name} ${hex(ours.regs[i] ?? 0n)} for ${hex(native.regs[i] ?? 0n)}`);
  });
  if (ours.flags !== native.flags) lines.push(`flags ${hex(ours.flags)} for ${hex(native.flags)}`);
  if (ours.ended !== native.ended) lines.push(`ended ${ours.ended} for ${native.ended}`);
  if (ours.vector !== native.vector) lines.push(`vector ${ours.vector} for ${native.vector}`);
  ours.memory.forEach((byte, i) => {
    if (byte !== native.memory[i]) lines.push(`[${hex(i)}] ${hex(byte)} for ${hex(native.memory[i] ?? 0)}`);
  });
  return lines;
}

const inputsOf = (state: State): string =>
  `${REGISTERS.map((name, i) => `${name}=${hex(state.regs[i] ?? 0n)}`).join(' ')} flags=${hex(state.flags)}`;

function main(part: string): void {
  const vectors = ['integer64.txt', 'integer32.txt']
    .flatMap((file) => readFileSync(inPackage('test', 'engine', 'vectors', file), 'utf8').split('\n'))
    .filter((line) => line && !line.startsWith('#'))
    .map(parseVector)
    .filter((vector) => vector.text.includes(part));
  const harness = new Harness();
  const subject = new Subject();
  const input = newState();
  const ours: Outcome = { ...newState(), ended: 0, vector: 0 };
  const shown = new Set<string>();
  harness.run(vectors, (vector, number, native) => {
    fillInputs(vector, number, input);
    if (isUndefined(vector, input, number) || shown.has(vector.text)) return;
    subject.run(vector, number, input, ours);
    maskOutcome(vector, input, number, ours);
    maskOutcome(vector, input, number, native);
    const lines = differences(ours, native);
    if (lines.length === 0) return;
    shown.add(vector.text);
    console.log(`${vector.bits} ${vector.text}, case ${number}: ${inputsOf(input)}\n  ${lines.join('\n  ')}`);
  });
  harness.close();
}

main(process.argv[2] ?? '');
