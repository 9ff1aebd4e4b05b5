/** What both contexts of the interpreter share: operands from the decoded record at `rec`, the TLB's fast path, flags. */

import { TLB, VCPU } from '../../memory/map.js';
import { RING_RECORD } from '../../observer.js';
import { type FunctionBuilder, type I32, type I64, i32, i64, type Local, select } from '../../wasm/assembler.js';
import { FLAG } from '../flags.js';
import { R } from '../insn.js';
import { S, SEG } from '../layout.js';
import { type Context, k, type Size, truncate } from '../semantics/context.js';
import { EA, type Recorded } from './protocol.js';

/** Locals of a function that executes records. */
export interface Locals {
  readonly base: Local<'i32'>;
  readonly rec: Local<'i32'>;
  /** Scratch of a memory access: its TLB entry, and an address in linear memory. */
  readonly entry: Local<'i32'>;
  readonly host: Local<'i32'>;
  /** S.TLB_TAG. */
  readonly tag: Local<'i64'>;
}

export const loadSized = (size: Size, address: I32, offset = 0): I64 => {
  if (size === 8) return i64.load(address, offset);
  if (size === 4) return i64.load32u(address, offset);
  return size === 2 ? i64.load16u(address, offset) : i64.load8u(address, offset);
};
export const storeSized = (size: Size, address: I32, value: I64, offset = 0) => {
  if (size === 8) return i64.store(address, value, offset);
  if (size === 4) return i64.store32(address, value, offset);
  return size === 2 ? i64.store16(address, value, offset) : i64.store8(address, value, offset);
};

export abstract class RecordContext implements Context {
  readonly f: FunctionBuilder;
  protected readonly r: Locals;
  protected readonly record: Recorded;
  readonly #temps: Local<'i64'>[] = [];
  #used = 0;

  constructor(f: FunctionBuilder, locals: Locals, record: Recorded) {
    this.f = f;
    this.r = locals;
    this.record = record;
  }

  /** The tick at which this instruction starts. */
  protected abstract now(): I64;
  /** Where the segment of a memory operand must be checked: makes `a` linear, or gives up. */
  protected abstract checkSegment(a: Local<'i64'>, segment: I32, size: Size, write: boolean): void;
  abstract load(size: Size, address: I64): Local<'i64'>;
  abstract store(size: Size, address: I64, value: I64): void;
  abstract update(size: Size, address: I64, compute: (old: Local<'i64'>) => I64): void;
  abstract repeat(iteration: () => void, stop: (() => I32) | null): void;
  abstract next(): void;
  abstract branch(rip: I64): void;
  abstract jump(): void;
  abstract slow(): void;
  abstract divideError(): void;

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
    return i32.add(this.r.base.get, i32.load16u(this.r.rec.get, field));
  }

  readDst(size: Size): I64 {
    return loadSized(size, this.#slot(R.dst));
  }
  readSrc(size: Size): I64 {
    return loadSized(size, this.#slot(R.src));
  }
  // A 32-bit register write clears the high half.
  #write(size: Size, address: I32, value: I64, offset = 0): void {
    if (size === 4) this.f.emit(i64.store(address, truncate(4, value), offset));
    else this.f.emit(storeSized(size, address, value, offset));
  }
  writeDst(size: Size, value: I64): void {
    this.#write(size, this.#slot(R.dst), value);
  }
  writeSrc(size: Size, value: I64): void {
    this.#write(size, this.#slot(R.src), value);
  }
  readRegister(slot: number, size: Size): I64 {
    return loadSized(size, this.r.base.get, slot);
  }
  writeRegister(slot: number, size: Size, value: I64): void {
    this.#write(size, this.r.base.get, value, slot);
  }
  immediate(): I64 {
    return i64.load(this.r.rec.get, R.immediate);
  }
  addressMask(): I64 {
    return i64.load(this.r.rec.get, R.addressMask);
  }

  #sum(): I64 {
    const index = i64.shl(i64.load(this.#slot(R.index)), i64.extendU(i32.load8u(this.r.rec.get, R.scale)));
    return i64.add(i64.add(i64.load(this.#slot(R.base)), index), i64.load(this.r.rec.get, R.displacement));
  }

  offset(): I64 {
    return i64.and(this.#sum(), this.addressMask());
  }

  address(size: Size, write: boolean): Local<'i64'> {
    const a = this.keep(this.#sum());
    this.f.when(i32.load8u(this.r.rec.get, R.eaKind), () => {
      this.f.emit(a.set(i64.and(a.get, this.addressMask())));
      this.#segmented(a, i32.load8u(this.r.rec.get, R.segment), size, write);
    });
    return a;
  }

  /** From the offset in `a` to a linear address. */
  #segmented(a: Local<'i64'>, segment: I32, size: Size, write: boolean): void {
    const { base, rec } = this.r;
    this.f.when(
      i32.eq(i32.load8u(rec.get, R.eaKind), i32.const(EA.checked)),
      () => this.checkSegment(a, segment, size, write),
      () => {
        // In 64-bit mode only FS and GS have a base; in flat 32-bit mode these two are checked, and others have none.
        this.f.when(i32.geU(segment, i32.const(SEG.FS)), () => {
          const slot = i32.add(base.get, i32.shl(segment, i32.const(3)));
          this.f.emit(a.set(i64.add(a.get, i64.load(slot, S.BASE))));
        });
      },
    );
  }

  stringAddress(slot: number, segment: number | 'operand', size: Size, write: boolean): Local<'i64'> {
    const a = this.keep(i64.and(this.readRegister(slot, 8), this.addressMask()));
    const { rec } = this.r;
    this.f.when(i32.load8u(rec.get, R.eaKind), () => {
      const which = segment === 'operand' ? i32.load8u(rec.get, R.segment) : i32.const(segment);
      this.#segmented(a, which, size, write);
    });
    return a;
  }

  advance(slot: number, size: Size): void {
    const backwards = i64.ne(i64.and(i64.load(this.r.base.get, S.RFLAGS_REST), k(FLAG.DF)), k(0));
    this.move(slot, select(k(-size), k(size), backwards));
  }

  /** Adds to a register at the address size: 16-bit moves keep the upper bits, 32-bit ones clear them. */
  protected move(slot: number, by: I64): void {
    const mask = this.keep(this.addressMask());
    const old = this.keep(this.readRegister(slot, 8));
    const moved = i64.and(i64.add(old.get, by), mask.get);
    const kept = select(i64.and(old.get, k(~0xffffn)), k(0), i64.eq(mask.get, k(0xffff)));
    this.writeRegister(slot, 8, i64.or(kept, moved));
  }

  protected tlbEntry(a: Local<'i64'>): void {
    const index = i32.and(i32.wrap(i64.shrU(a.get, k(7))), i32.const((TLB.entries - 1) << 5));
    this.f.emit(this.r.entry.set(i32.add(this.r.base.get, index)));
  }

  /** The access lies in the entry's page and the entry's tag allows it. */
  protected hit(a: Local<'i64'>, size: Size, field: number): I32 {
    const last = size === 1 ? a.get : i64.add(a.get, k(size - 1));
    const wanted = i64.or(i64.and(last, k(~0xfffn)), this.r.tag.get);
    return i64.eq(wanted, i64.load(this.r.entry.get, VCPU.tlb + field));
  }

  /** Address in linear memory of a linear address that hit. */
  protected hostAddress(a: Local<'i64'>): I32 {
    return i32.add(i32.wrap(a.get), i32.load(this.r.entry.get, VCPU.tlb + TLB.addend));
  }

  /** Writes an access that hit into the ring; its entry must still be in `entry`. */
  protected note(kind: 0 | 1, size: Size, a: Local<'i64'>, value: Local<'i64'>): void {
    if (!this.record.data) return;
    const { base, entry, host } = this.r;
    const gpa = i64.add(i64.load(entry.get, VCPU.tlb + TLB.gpa), i64.and(a.get, k(0xfff)));
    const meta = i32.or(i32.load(base.get, S.RING_META), i32.const(size | (kind << 8)));
    this.f.emit(
      host.set(i32.load(base.get, S.RING_NEXT)),
      i64.store(host.get, this.now(), RING_RECORD.tick),
      i64.store(host.get, a.get, RING_RECORD.gva),
      i64.store(host.get, gpa, RING_RECORD.gpa),
      i64.store(host.get, value.get, RING_RECORD.value),
      i32.store(host.get, meta, RING_RECORD.meta),
      i32.store(base.get, i32.add(host.get, i32.const(RING_RECORD.bytes)), S.RING_NEXT),
    );
  }

  /** Ring records that tell of the fetch of the instruction at `rec`: its bytes may take two. */
  protected ifSecondFetch(then: () => void): void {
    this.f.when(i32.gtU(i32.load8u(this.r.rec.get, R.length), i32.const(8)), then);
  }

  get result(): I64 {
    return i64.load(this.r.base.get, S.FLAG_RESULT);
  }
  get carry(): I64 {
    return i64.load(this.r.base.get, S.FLAG_CARRY);
  }
  setResult(value: I64): void {
    this.f.emit(i64.store(this.r.base.get, value, S.FLAG_RESULT));
  }
  setCarry(value: I64): void {
    this.f.emit(i64.store(this.r.base.get, value, S.FLAG_CARRY));
  }

  /** RIP of this instruction. */
  rip(): I64 {
    return i64.add(i64.load(this.r.base.get, S.PAGE_LINEAR), i64.load16u(this.r.rec.get, R.offset));
  }
  nextRip(): I64 {
    return i64.add(this.rip(), i64.load8u(this.r.rec.get, R.length));
  }
  // The decoder folds the instruction's place in its page into the immediate of a branch.
  target(): I64 {
    return i64.and(i64.add(i64.load(this.r.base.get, S.PAGE_LINEAR), this.immediate()), this.addressMask());
  }
}
