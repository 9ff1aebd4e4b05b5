/** How long VM entries and exits take, in the steady state: `node dist/test/engine/vmx/speed.js`. */
import { GPR } from '../../../engine/cpu/layout.js';
import { skylakeVmx } from '../../../engine/vmx/capabilities.js';
import { generateCopies } from '../../../engine/vmx/transfer-wasm.js';
import { Bench, modelWith } from './bench.js';

const ROUNDS = 400_000;
const memory = new WebAssembly.Memory({ initial: 4, maximum: 4 });
const bench = new Bench(modelWith(skylakeVmx), memory.buffer);
bench.cpu.vmx.copies = generateCopies(memory);
bench.startVmx().fill();
bench.set('SECONDARY_VM_EXEC_CONTROL', 0x22);
bench.set('EPT_POINTER', 0x501e);
bench.set('VIRTUAL_PROCESSOR_ID', 1);
bench.quiet = true;
bench.run('vmlaunch');
const { cpu } = bench;

const time = (what: string, rounds: number, run: () => void): void => {
  for (let i = 0; i < 20_000; i++) run();
  const start = process.cpuUsage().user;
  for (let i = 0; i < rounds; i++) run();
  console.log(`${what}: ${(((process.cpuUsage().user - start) * 1000) / rounds).toFixed(0)} ns`);
};

let rip = 0x40_0000;
time('exit and entry', ROUNDS, () => {
  cpu.setU32(GPR.RAX, 1);
  cpu.intercepts.instruction(cpu, 'cpuid');
  rip = (rip + 2) & 0x7f_ffff;
  cpu.memory.view.setUint32(0x2000 + 0x6b0, rip, true);
  bench.again('vmresume');
});
cpu.intercepts.instruction(cpu, 'cpuid');
cpu.setU32(GPR.RDX, 0x681e);
bench.run('vmread', { src: GPR.RDX, dst: GPR.RAX });
time('VMREAD', ROUNDS, () => {
  bench.again('vmread');
});
bench.run('vmwrite', { dst: GPR.RDX, src: GPR.RAX });
time('VMWRITE', ROUNDS, () => {
  bench.again('vmwrite');
});
