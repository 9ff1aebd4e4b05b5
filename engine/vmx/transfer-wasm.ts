/** The copies of entries and exits as generated code: the tables of transfer.ts, unrolled. */
import type { Cpu } from '../cpu/cpu.js';
import { type FunctionBuilder, type I32, type I64, i32, i64 } from '../wasm/assembler.js';
import { Module } from '../wasm/module.js';
import { CHECKED_BYTES, F, REGION } from './fields.js';
import {
  CHANGED,
  GUEST_ALWAYS,
  HOST_ALWAYS,
  HOST_CONSTANTS,
  INFORMATION,
  SHADOW,
  type StateCopies,
  type Transfer,
  VECTORING,
} from './transfer.js';

const LOAD = { 2: i64.load16u, 4: i64.load32u, 8: i64.load } as const;
const WASM_PAGE = 0x1_0000;
/** Fields that are compared before the first branch. */
const GROUP = 16;

/** Parameters of every function: addresses of the vCPU's state and of the VMCS region in linear memory. */
const SIGNATURE = { params: ['i32', 'i32'], results: [] } as const;

const loads = (f: FunctionBuilder, table: readonly Transfer[]): void => {
  const state = f.param('i32', 0).get;
  const region = f.param('i32', 1).get;
  for (const { field, slot, bytes } of table) f.emit(i64.store(state, LOAD[bytes](region, field), slot));
};

const saves = (f: FunctionBuilder, table: readonly Transfer[]): void => {
  const state = f.param('i32', 0).get;
  const region = f.param('i32', 1).get;
  for (const { field, slot, bytes } of table) f.emit(i64.store(region, LOAD[bytes](state, slot), field));
};

/** Groups of fields are compared as a whole; only one that differs is looked at field by field. */
function compares(f: FunctionBuilder): void {
  const region = f.param('i32', 1).get;
  const changed = f.local('i32');
  const value = f.local('i64');
  const differs = (field: number): I64 => i64.xor(i64.load(region, field), i64.load(region, field + SHADOW));
  const slotOf = (count: I32): I32 => i32.add(region, i32.shl(count, i32.const(1)));
  for (let first: number = REGION.fields; first < CHECKED_BYTES; first += 8 * GROUP) {
    const fields = Array.from({ length: GROUP }, (_, i) => first + 8 * i).filter((field) => field < CHECKED_BYTES);
    const any = fields.map(differs).reduce((all, one) => i64.or(all, one));
    f.when(i64.ne(any, i64.const(0)), () => {
      for (const field of fields) {
        f.emit(value.set(i64.load(region, field)));
        f.when(i64.ne(value.get, i64.load(region, field + SHADOW)), () => {
          f.emit(i64.store(region, value.get, field + SHADOW));
          f.emit(i32.store16(slotOf(changed.get), i32.const(field), CHANGED));
          f.emit(changed.set(i32.add(changed.get, i32.const(1))));
        });
      }
    });
  }
  f.return(changed.get);
}

/** Parameters of `record`: state, region, both halves of the qualification, then INFORMATION. */
const RECORD = { params: ['i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32', 'i32'], results: [] } as const;

function records(f: FunctionBuilder): void {
  const region = f.param('i32', 1).get;
  f.emit(i32.store(region, f.param('i32', 2).get, F.EXIT_QUALIFICATION));
  f.emit(i32.store(region, f.param('i32', 3).get, F.EXIT_QUALIFICATION + 4));
  INFORMATION.forEach(([field], i) => {
    f.emit(i64.store(region, i64.extendU(f.param('i32', 4 + i).get), field));
  });
  for (const field of VECTORING) f.emit(i64.store(region, i64.const(0), field));
  const injected = F.VM_ENTRY_INTR_INFO_FIELD;
  f.emit(i32.store(region, i32.and(i32.load(region, injected), i32.const(0x7fff_ffff)), injected));
}

interface Generated {
  record(
    state: number,
    region: number,
    qualificationLow: number,
    qualificationHigh: number,
    reason: number,
    interruption: number,
    errorCode: number,
    instructionLength: number,
    instructionInfo: number,
  ): void;
  saveGuest(state: number, region: number): void;
  loadGuest(state: number, region: number): void;
  loadHost(state: number, region: number): void;
  compare(state: number, region: number): number;
}

/** Compiles the copies against the machine's memory. */
export function generateCopies(memory: WebAssembly.Memory): StateCopies {
  const module = new Module();
  module.func('record', RECORD, records);
  module.func('saveGuest', SIGNATURE, (f) => saves(f, GUEST_ALWAYS));
  module.func('loadGuest', SIGNATURE, (f) => loads(f, GUEST_ALWAYS));
  module.func('loadHost', SIGNATURE, (f) => {
    loads(f, HOST_ALWAYS);
    const state = f.param('i32', 0).get;
    for (const [slot, constant] of HOST_CONSTANTS) f.emit(i64.store(state, i64.const(constant), slot));
  });
  module.func('compare', { params: ['i32', 'i32'], results: ['i32'] }, compares);
  const compiled = new WebAssembly.Module(module.bytes(memory.buffer.byteLength / WASM_PAGE));
  const code = new WebAssembly.Instance(compiled, { env: { memory } }).exports as unknown as Generated;
  const at = (cpu: Cpu, region: number): number => cpu.memory.base + region;
  return {
    record: (cpu, region, cause) =>
      code.record(
        cpu.base,
        at(cpu, region),
        cause.qualificationLow,
        cause.qualificationHigh,
        cause.reason,
        cause.interruption,
        cause.errorCode,
        cause.instructionLength,
        cause.instructionInfo,
      ),
    saveGuest: (cpu, region) => code.saveGuest(cpu.base, at(cpu, region)),
    loadGuest: (cpu, region) => code.loadGuest(cpu.base, at(cpu, region)),
    loadHost: (cpu, region) => code.loadHost(cpu.base, at(cpu, region)),
    compare: (cpu, region) => code.compare(cpu.base, at(cpu, region)),
  };
}
