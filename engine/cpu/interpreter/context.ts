/** The interpreter's side of instruction semantics: operands come from the decoded record at `rec`. */

import { TLB, VCPU } from '../../memory/map.js';
import { RING_RECORD } from '../../observer.js';
import {
  type Callable,
  callStatement,
  callValue,
  type FunctionBuilder,
  type I32,
  type I64,
  i32,
  i64,
  type Label,
  type Local,
  select,
} from '../../wasm/assembler.js';
import { FLAG } from '../flags.js';
import { R, RECORD_BYTES } from '../insn.js';
import { S } from '../layout.js';
import { type Context, k, type Size } from '../semantics/context.js';

/** Functions that generated code calls. Addresses and values of slow accesses pass through slots of the state. */
export interface Calls {
  /** (base, record): 0: retired, continue; else the status to leave with. */
  readonly slow: Callable;
  /** (base, size | WRITE_INTENT): address of the bytes in linear memory, or 0 for a fault. */
  readonly load: Callable;
  /** (base, size): 1, or 0 for a fault. */
  readonly store: Callable;
  /** (base, segment, size | WRITE_INTENT): turns the offset in SLOW_ADDRESS into a linear address. */
  readonly segment: Callable;
}
export const WRITE_INTENT = 0x100;

/** Why generated code returned. */
export const STATUS = { deadline: 1, fault: 2, leave: 3, ring: 4, stop: 5, gate: 6 } as const;

/** Segment kinds of a memory operand: R.eaKind. */
export const EA = { plain: 0, based: 1, flat32: 2, checked: 3 } as const;

export interface Registers {
  readonly base: Local<'i32'>;
  readonly rec: Local<'i32'>;
  readonly start: Local<'i32'>;
  readonly tick: Local<'i64'>;
  readonly pageRip: Local<'i64'>;
  readonly codeMap: Local<'i32'>;
  readonly tag: Local<'i64'>;
  readonly target: Local<'i64'>;
  readonly status: Local<'i32'>;
  readonly entry: Local<'i32'>;
  readonly host: Local<'i32'>;
}

export interface Labels {
  readonly dispatch: Label;
  readonly branch: Label;
  readonly leave: Label;
  readonly fault: Label;
}

const loadSized = (size: Size, address: I32): I64 =>
  size === 8
    ? i64.load(address)
    : size === 4
      ? i64.load32u(address)
      : size === 2
        ? i64.load16u(address)
        : i64.load8u(address);
export const storeSized = (size: Size, address: I32, value: I64) =>
  size === 8
    ? i64.store(address, value)
    : size === 4
      ? i64.store32(address, value)
      : size === 2
        ? i64.store16(address, value)
        : i64.store8(address, value);

export class InterpreterContext implements Context {
  readonly f: FunctionBuilder;
  readonly #r: Registers;
  readonly #labels: Labels;
  readonly #calls: Calls;
  readonly #record: boolean;
  readonly #temps: Local<'i64'>[] = [];
  #used = 0;

  constructor(f: FunctionBuilder, registers: Registers, labels: Labels, calls: Calls, record: boolean) {
    this.f = f;
    this.#r = registers;
    this.#labels = labels;
    this.#calls = calls;
    this.#record = record;
  }

  /** Starts the next instruction form: its temporaries are free again. */
  restart(): void {
    this.#used = 0;
  }

  temp(): Local<'i64'> {
    let local = this.#temps[this.#used];
    if (!local) {
      local = this.f.local('i64');
      this.#temps.push(local);
    }
    this.#used++;
    return local;
  }

  keep(value: I64): Local<'i64'> {
    const local = this.temp();
    this.f.emit(local.set(value));
    return local;
  }

  #slot(field: number): I32 {
    return i32.add(this.#r.base.get, i32.load16u(this.#r.rec.get, field));
  }

  readDst(size: Size): I64 {
    return loadSized(size, this.#slot(R.dst));
  }
  readSrc(size: Size): I64 {
    return loadSized(size, this.#slot(R.src));
  }
  // A 32-bit register write clears the high half.
  #write(size: Size, address: I32, value: I64): void {
    if (size === 4) this.f.emit(i64.store(address, i64.and(value, k(0xffff_ffffn))));
    else this.f.emit(storeSized(size, address, value));
  }
  writeDst(size: Size, value: I64): void {
    this.#write(size, this.#slot(R.dst), value);
  }
  writeSrc(size: Size, value: I64): void {
    this.#write(size, this.#slot(R.src), value);
  }
  readRegister(slot: number, size: Size): I64 {
    return loadSized(size, i32.add(this.#r.base.get, i32.const(slot)));
  }
  writeRegister(slot: number, size: Size, value: I64): void {
    this.#write(size, i32.add(this.#r.base.get, i32.const(slot)), value);
  }
  immediate(): I64 {
    return i64.load(this.#r.rec.get, R.immediate);
  }
  addressMask(): I64 {
    return i64.load(this.#r.rec.get, R.addressMask);
  }

  #sum(): I64 {
    const index = i64.shl(i64.load(this.#slot(R.index)), i64.extendU(i32.load8u(this.#r.rec.get, R.scale)));
    return i64.add(i64.add(i64.load(this.#slot(R.base)), index), i64.load(this.#r.rec.get, R.displacement));
  }

  offset(): I64 {
    return i64.and(this.#sum(), this.addressMask());
  }

  address(size: Size, write: boolean): Local<'i64'> {
    const a = this.keep(this.#sum());
    const segment = i32.load8u(this.#r.rec.get, R.segment);
    this.f.when(i32.load8u(this.#r.rec.get, R.eaKind), () => {
      this.f.emit(a.set(i64.and(a.get, this.addressMask())));
      this.#segmented(a, segment, size, write);
    });
    return a;
  }

  /** Adds the segment to the offset in `a`, where the record's EA kind asks for it. */
  #segmented(a: Local<'i64'>, segment: I32, size: Size, write: boolean): void {
    const { base, rec } = this.#r;
    const kind = i32.load8u(rec.get, R.eaKind);
    this.f.when(i32.eq(kind, i32.const(EA.based)), () => {
      const slot = i32.add(base.get, i32.shl(segment, i32.const(3)));
      // In 64-bit mode only FS and GS have a base.
      const own = i64.load(slot, S.BASE);
      this.f.emit(a.set(select(i64.add(a.get, own), a.get, i32.geU(segment, i32.const(4)))));
    });
    this.f.when(i32.eq(kind, i32.const(EA.checked)), () => {
      this.settle();
      this.f.emit(
        i64.store(base.get, a.get, S.SLOW_ADDRESS),
        callStatement(this.#calls.segment, base.get, segment, i32.const(size | (write ? WRITE_INTENT : 0))),
        a.set(i64.load(base.get, S.SLOW_ADDRESS)),
      );
    });
  }

  stringAddress(slot: number, segment: number | 'operand', size: Size, write: boolean): Local<'i64'> {
    const a = this.keep(i64.and(this.readRegister(slot, 8), this.addressMask()));
    this.f.when(i32.load8u(this.#r.rec.get, R.eaKind), () => {
      const which = segment === 'operand' ? i32.load8u(this.#r.rec.get, R.segment) : i32.const(segment);
      this.#segmented(a, which, size, write);
    });
    return a;
  }

  advance(slot: number, size: Size): void {
    const backwards = i64.ne(i64.and(i64.load(this.#r.base.get, S.RFLAGS_REST), k(FLAG.DF)), k(0));
    this.#move(slot, select(k(-size), k(size), backwards));
  }

  /** Adds to a register at the address size: 16-bit moves keep the upper bits, 32-bit ones clear them. */
  #move(slot: number, by: I64): void {
    const mask = this.keep(this.addressMask());
    const old = this.keep(this.readRegister(slot, 8));
    const moved = i64.and(i64.add(old.get, by), mask.get);
    const kept = select(i64.and(old.get, k(~0xffffn)), k(0), i64.eq(mask.get, k(0xffff)));
    this.writeRegister(slot, 8, i64.or(kept, moved));
  }

  #tickNow(): I64 {
    const retired = i32.shrU(i32.sub(this.#r.rec.get, this.#r.start.get), i32.const(6));
    return i64.add(this.#r.tick.get, i64.extendU(retired));
  }

  /** What slow paths need to know: the record and the tick. */
  settle(): void {
    const { base, rec } = this.#r;
    this.f.emit(i64.store(base.get, this.#tickNow(), S.TICK), i32.store(base.get, rec.get, S.RECORD));
  }

  #tlbEntry(a: Local<'i64'>): void {
    const { base, entry } = this.#r;
    const index = i32.and(i32.wrap(i64.shrU(a.get, k(7))), i32.const((TLB.entries - 1) << 5));
    this.f.emit(entry.set(i32.add(base.get, index)));
  }

  /** The access lies in the entry's page and the entry's tag allows it. */
  #hit(a: Local<'i64'>, size: Size, field: number): I32 {
    const last = size === 1 ? a.get : i64.add(a.get, k(size - 1));
    const wanted = i64.or(i64.and(last, k(~0xfffn)), this.#r.tag.get);
    return i64.eq(wanted, i64.load(this.#r.entry.get, VCPU.tlb + field));
  }

  #hostAddress(a: Local<'i64'>): I32 {
    const page = i32.load(this.#r.entry.get, VCPU.tlb + TLB.host);
    return i32.add(page, i32.and(i32.wrap(a.get), i32.const(0xfff)));
  }

  #note(kind: 0 | 1, size: Size, a: Local<'i64'>, value: Local<'i64'>): void {
    if (!this.#record) return;
    const { base, entry, host } = this.#r;
    const gpa = i64.add(i64.load(entry.get, VCPU.tlb + TLB.gpa), i64.and(a.get, k(0xfff)));
    const meta = i32.or(i32.load(base.get, S.RING_META), i32.const(size | (kind << 8)));
    this.f.emit(
      host.set(i32.load(base.get, S.RING_NEXT)),
      i64.store(host.get, this.#tickNow(), RING_RECORD.tick),
      i64.store(host.get, a.get, RING_RECORD.gva),
      i64.store(host.get, gpa, RING_RECORD.gpa),
      i64.store(host.get, value.get, RING_RECORD.value),
      i32.store(host.get, meta, RING_RECORD.meta),
      i32.store(base.get, i32.add(host.get, i32.const(RING_RECORD.bytes)), S.RING_NEXT),
    );
  }

  #slowLoad(a: Local<'i64'>, size: Size, write: boolean): void {
    const { base, host } = this.#r;
    this.settle();
    this.f.emit(
      i64.store(base.get, a.get, S.SLOW_ADDRESS),
      host.set(callValue('i32', this.#calls.load, base.get, i32.const(size | (write ? WRITE_INTENT : 0)))),
    );
    this.f.brIf(this.#labels.fault, i32.eqz(host.get));
  }

  load(size: Size, address: I64): Local<'i64'> {
    const a = this.keep(address);
    const value = this.temp();
    this.#tlbEntry(a);
    this.f.when(
      this.#hit(a, size, TLB.read),
      () => {
        this.f.emit(value.set(loadSized(size, this.#hostAddress(a))));
        this.#note(0, size, a, value);
      },
      () => {
        this.#slowLoad(a, size, false);
        this.f.emit(value.set(loadSized(size, this.#r.host.get)));
      },
    );
    return value;
  }

  #slowStore(a: Local<'i64'>, size: Size, value: Local<'i64'>): void {
    const { base } = this.#r;
    this.settle();
    this.f.emit(i64.store(base.get, a.get, S.SLOW_ADDRESS), i64.store(base.get, value.get, S.SLOW_VALUE));
    this.f.brIf(this.#labels.fault, i32.eqz(callValue('i32', this.#calls.store, base.get, i32.const(size))));
  }

  store(size: Size, address: I64, stored: I64): void {
    const a = this.keep(address);
    const value = this.keep(stored);
    this.#tlbEntry(a);
    this.f.when(
      this.#hit(a, size, TLB.write),
      () => {
        this.f.emit(storeSized(size, this.#hostAddress(a), value.get));
        this.#note(1, size, a, value);
      },
      () => this.#slowStore(a, size, value),
    );
  }

  update(size: Size, address: I64, compute: (old: Local<'i64'>) => I64): void {
    const a = this.keep(address);
    const old = this.temp();
    const fast = this.temp();
    this.#tlbEntry(a);
    this.f.when(
      this.#hit(a, size, TLB.write),
      () => {
        this.f.emit(fast.set(i64.extendU(this.#hostAddress(a))), old.set(loadSized(size, i32.wrap(fast.get))));
        this.#note(0, size, a, old);
      },
      () => {
        this.#slowLoad(a, size, true);
        this.f.emit(old.set(loadSized(size, this.#r.host.get)), fast.set(k(0)));
      },
    );
    const value = this.keep(compute(old));
    this.f.when(
      i64.ne(fast.get, k(0)),
      () => {
        this.f.emit(storeSized(size, i32.wrap(fast.get), value.get));
        if (this.#record) this.#tlbEntry(a);
        this.#note(1, size, a, value);
      },
      () => this.#slowStore(a, size, value),
    );
  }

  get result(): I64 {
    return i64.load(this.#r.base.get, S.FLAG_RESULT);
  }
  get carry(): I64 {
    return i64.load(this.#r.base.get, S.FLAG_CARRY);
  }
  setResult(value: I64): void {
    this.f.emit(i64.store(this.#r.base.get, value, S.FLAG_RESULT));
  }
  setCarry(value: I64): void {
    this.f.emit(i64.store(this.#r.base.get, value, S.FLAG_CARRY));
  }

  /** RIP of this instruction. */
  rip(): I64 {
    return i64.add(this.#r.pageRip.get, i64.extendU(i32.load16u(this.#r.rec.get, R.offset)));
  }
  nextRip(): I64 {
    return i64.add(this.rip(), i64.extendU(i32.load8u(this.#r.rec.get, R.length)));
  }
  // The decoder folds the instruction's place in its page into the immediate of a branch.
  target(): I64 {
    return i64.and(i64.add(this.#r.pageRip.get, this.immediate()), this.addressMask());
  }

  next(): void {
    const { rec } = this.#r;
    this.f.emit(rec.set(i32.add(rec.get, i32.const(RECORD_BYTES))));
    this.f.br(this.#labels.dispatch);
  }

  branch(rip: I64): void {
    const { tick, target } = this.#r;
    this.f.emit(target.set(rip), tick.set(i64.add(this.#tickNow(), k(1))));
    this.f.br(this.#labels.branch);
  }

  /** Continues at this record's RIP as if the straight line began anew: pseudo-records, which retire nothing. */
  restartHere(label: 'branch' | 'leave', status = 0): void {
    const { tick, target } = this.#r;
    this.f.emit(target.set(this.rip()), tick.set(this.#tickNow()), this.#r.status.set(i32.const(status)));
    this.f.br(this.#labels[label]);
  }

  slow(then: 'next' | 'branch' = 'next'): void {
    const { base, rec, status } = this.#r;
    this.settle();
    this.f.emit(
      i64.store(base.get, this.rip(), S.RIP),
      status.set(callValue('i32', this.#calls.slow, base.get, rec.get)),
    );
    this.f.when(status.get, () => this.f.return(status.get));
    if (then === 'next') this.next();
    else this.branch(this.nextRip());
  }

  divideError(): void {
    // Vector 0 without error code; the run loop reads the fault slots.
    const { base } = this.#r;
    this.f.emit(
      i64.store(base.get, k(1), S.FAULT_KIND),
      i64.store(base.get, k(0), S.FAULT_VECTOR),
      i64.store(base.get, k(0), S.FAULT_ERROR),
      i64.store(base.get, k(0), S.FAULT_QUALIFICATION),
    );
    this.f.br(this.#labels.fault);
  }

  repeat(iteration: () => void, stop: (() => I32) | null): void {
    const { base, rec, start, tick } = this.#r;
    this.f.emit(tick.set(this.#tickNow()), start.set(rec.get));
    const RCX = 8;
    const finished = (): void => this.branch(this.nextRip());
    this.f.loop((again) => {
      const count = this.keep(i64.and(this.readRegister(RCX, 8), this.addressMask()));
      this.f.when(i64.eqz(count.get), () => {
        // ECX at 0 from the start is written all the same: the high half of RCX is lost.
        this.#move(RCX, k(0));
        finished();
      });
      this.f.when(i64.geU(tick.get, i64.load(base.get, S.DEADLINE)), () => this.restartHere('leave', STATUS.deadline));
      if (this.#record) {
        const next = i32.add(i32.load(base.get, S.RING_NEXT), i32.const(2 * RING_RECORD.bytes));
        this.f.when(i32.gtU(next, i32.load(base.get, S.RING_LIMIT)), () => this.restartHere('leave', STATUS.ring));
      }
      iteration();
      this.#move(RCX, k(-1));
      this.f.emit(
        tick.set(i64.add(tick.get, k(1))),
        i64.store(base.get, i64.add(i64.load(base.get, S.NONSTEP), k(1)), S.NONSTEP),
      );
      if (stop) this.f.when(stop(), finished);
      this.f.br(again);
    });
    this.f.unreachable();
  }
}
