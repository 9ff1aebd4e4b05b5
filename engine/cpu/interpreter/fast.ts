/**
 * Instructions inside the main loop: nothing is called. What the TLB does not allow at once, and what is not to be done
 * here, goes to the same instruction's own function (careful.ts), which executes it from its beginning; hence nothing
 * is written before the last access has hit.
 */
import { TLB } from '../../memory/map.js';
import { ACCESS_KINDS, RING_CONTINUES, RING_RECORD } from '../../observer.js';
import { type FunctionBuilder, type I32, type I64, i32, i64, type Label, type Local } from '../../wasm/assembler.js';
import { R, RECORD_BYTES } from '../insn.js';
import { S } from '../layout.js';
import type { Size } from '../semantics/context.js';
import { type Locals, loadSized, RecordContext, storeSized } from './operands.js';
import type { Recorded } from './protocol.js';

export interface MainLocals extends Locals {
  /** The first record of this line that is not counted yet. */
  readonly start: Local<'i32'>;
  /** Ticks from `start` to the deadline. */
  readonly left: Local<'i32'>;
  /** RIP to continue at. */
  readonly target: Local<'i64'>;
  /** The record of a branch whose link is to be set; 0: none. */
  readonly from: Local<'i32'>;
}

export interface Labels {
  /** The next record is at `rec`. */
  readonly dispatch: Label;
  /** Continue at `target`. */
  readonly branch: Label;
  /** The relative branch at `rec` is taken. */
  readonly jump: Label;
  /** Let the record's own function do it. */
  readonly miss: Label;
}

export class FastContext extends RecordContext {
  readonly #main: MainLocals;
  readonly #labels: Labels;
  /** Ring records of this instruction so far. */
  #notes = 0;

  constructor(f: FunctionBuilder, locals: MainLocals, labels: Labels, record: Recorded) {
    super(f, locals, record);
    this.#main = locals;
    this.#labels = labels;
  }

  override restart(): void {
    super.restart();
    this.#notes = 0;
  }

  #retired(): I32 {
    return i32.shrU(i32.sub(this.r.rec.get, this.#main.start.get), i32.const(6));
  }

  now(): I64 {
    const ahead = i64.extendS(i32.sub(this.#main.left.get, this.#retired()));
    return i64.sub(i64.load(this.r.base.get, S.DEADLINE), ahead);
  }

  protected checkSegment(): void {
    this.#giveUp();
  }

  /** Leaves the instruction to its own function, and takes back what it has told the ring. */
  #giveUp(): void {
    const { base } = this.r;
    if (this.record.data && this.#notes > 0) {
      const told = i32.const(this.#notes * RING_RECORD.bytes);
      this.f.emit(i32.store(base.get, i32.sub(i32.load(base.get, S.RING_NEXT), told), S.RING_NEXT));
    }
    this.f.br(this.#labels.miss);
  }

  #missUnless(hit: I32): void {
    if (this.record.data && this.#notes > 0) this.f.when(i32.eqz(hit), () => this.#giveUp());
    else this.f.brIf(this.#labels.miss, i32.eqz(hit));
  }

  #noted(kind: 0 | 1, size: Size, a: Local<'i64'>, value: Local<'i64'>): void {
    this.note(kind, size, a, value);
    this.#notes++;
  }

  /** Writes the fetch of the instruction at `rec` into the ring, whatever will execute it. */
  noteFetch(): void {
    const { base, rec, host } = this.r;
    const inPage = i64.load16u(rec.get, R.offset);
    const linear = i64.and(i64.add(this.rip(), i64.load(base.get, S.CODE_BASE)), i64.load(base.get, S.CODE_MASK));
    const meta = i32.or(i32.load(base.get, S.RING_META), i32.const(ACCESS_KINDS.fetch << 8));
    const end = (records: number): void => {
      const next = i32.add(host.get, i32.const(records * RING_RECORD.bytes));
      this.f.emit(i32.store(base.get, next, S.RING_NEXT));
    };
    this.f.emit(
      host.set(i32.load(base.get, S.RING_NEXT)),
      i64.store(host.get, this.now(), RING_RECORD.tick),
      i64.store(host.get, linear, RING_RECORD.gva),
      i64.store(host.get, i64.add(i64.load(base.get, S.PAGE_GPA), inPage), RING_RECORD.gpa),
      i64.store(host.get, i64.load(rec.get, R.bytes), RING_RECORD.value),
      i32.store(host.get, i32.or(meta, i32.load8u(rec.get, R.length)), RING_RECORD.meta),
    );
    end(1);
    this.ifSecondFetch(() => {
      const more = i32.or(meta, i32.const(RING_CONTINUES));
      this.f.emit(
        i64.store(host.get, i64.load(rec.get, R.bytes + 8), RING_RECORD.bytes + RING_RECORD.value),
        i32.store(host.get, more, RING_RECORD.bytes + RING_RECORD.meta),
      );
      end(2);
    });
  }

  load(size: Size, address: I64): Local<'i64'> {
    const a = this.keep(address);
    const value = this.temp();
    this.tlbEntry(a);
    this.#missUnless(this.hit(a, size, TLB.read));
    this.f.emit(value.set(loadSized(size, this.hostAddress(a))));
    this.#noted(0, size, a, value);
    return value;
  }

  store(size: Size, address: I64, stored: I64): void {
    const a = this.keep(address);
    const value = this.keep(stored);
    this.tlbEntry(a);
    this.#missUnless(this.hit(a, size, TLB.write));
    this.f.emit(storeSized(size, this.hostAddress(a), value.get));
    this.#noted(1, size, a, value);
  }

  update(size: Size, address: I64, compute: (old: Local<'i64'>) => I64): void {
    const a = this.keep(address);
    const old = this.temp();
    this.tlbEntry(a);
    this.#missUnless(this.hit(a, size, TLB.write));
    const at = this.keep(i64.extendU(this.hostAddress(a)));
    this.f.emit(old.set(loadSized(size, i32.wrap(at.get))));
    this.#noted(0, size, a, old);
    const value = this.keep(compute(old));
    this.f.emit(storeSized(size, i32.wrap(at.get), value.get));
    this.#noted(1, size, a, value);
  }

  next(): void {
    const { rec } = this.r;
    this.f.emit(rec.set(i32.add(rec.get, i32.const(RECORD_BYTES))));
    this.f.br(this.#labels.dispatch);
  }

  branch(rip: I64): void {
    const { target, from } = this.#main;
    this.f.emit(target.set(rip), from.set(i32.const(0)));
    this.count(1);
    this.f.br(this.#labels.branch);
  }

  jump(): void {
    this.f.br(this.#labels.jump);
  }

  /** Counts the line's instructions before this one, and `own` for this one. */
  count(own: 0 | 1): void {
    const { left } = this.#main;
    const rest = i32.sub(left.get, this.#retired());
    this.f.emit(left.set(own ? i32.sub(rest, i32.const(own)) : rest));
  }

  /** Goes to what the link of the record at `rec` names; falls through where there is none, and notes that in `from`. */
  follow(enter: Label): void {
    const { rec, from } = this.#main;
    const link = this.r.host;
    this.f.emit(link.set(i32.load(rec.get, R.link)));
    this.f.when(i32.gtU(link.get, i32.const(1)), () => {
      this.f.emit(rec.set(link.get));
      this.f.br(enter);
    });
    this.f.emit(from.set(rec.get));
    this.f.when(link.get, () => this.f.emit(from.set(i32.const(0))));
  }

  slow(): void {
    this.f.br(this.#labels.miss);
  }

  divideError(): void {
    this.f.br(this.#labels.miss);
  }

  repeat(): void {
    throw new Error('the main loop has no repeated instructions');
  }
}
