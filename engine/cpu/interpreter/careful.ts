/**
 * One instruction as a function of its own, which can do all that the instruction may need: calls to TypeScript, faults,
 * iterations. It is entered with RIP, TICK and RECORD in their slots and answers a CODE or a STATUS.
 */
import { TLB } from '../../memory/map.js';
import { PAGE_BYTES } from '../../memory/physical.js';
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
} from '../../wasm/assembler.js';
import { FAULT, VECTOR } from '../fault.js';
import { R } from '../insn.js';
import { GPR, S } from '../layout.js';
import { k, type Size } from '../semantics/context.js';
import { type Locals, loadSized, RecordContext, storeSized } from './operands.js';
import { type Calls, CODE, type Recorded, STATUS, WRITE_INTENT } from './protocol.js';

export class CarefulContext extends RecordContext {
  readonly #calls: Calls;
  /** Stores that the fast tag did not allow: build.ts. */
  readonly #storeGate: Callable;
  readonly #fault: Label;

  constructor(f: FunctionBuilder, locals: Locals, calls: Calls, storeGate: Callable, fault: Label, record: Recorded) {
    super(f, locals, record);
    this.#calls = calls;
    this.#storeGate = storeGate;
    this.#fault = fault;
  }

  now(): I64 {
    return i64.load(this.r.base.get, S.TICK);
  }

  protected checkSegment(a: Local<'i64'>, segment: I32, size: Size, write: boolean): void {
    const { base } = this.r;
    this.f.emit(
      i64.store(base.get, a.get, S.SLOW_ADDRESS),
      callStatement(this.#calls.segment, base.get, segment, i32.const(size | (write ? WRITE_INTENT : 0))),
      a.set(i64.load(base.get, S.SLOW_ADDRESS)),
    );
  }

  #slowLoad(a: Local<'i64'>, size: Size, write: boolean): void {
    const { base, host } = this.r;
    this.f.emit(
      i64.store(base.get, a.get, S.SLOW_ADDRESS),
      host.set(callValue('i32', this.#calls.load, base.get, i32.const(size | (write ? WRITE_INTENT : 0)))),
    );
    this.f.brIf(this.#fault, i32.eqz(host.get));
  }

  load(size: Size, address: I64): Local<'i64'> {
    const a = this.keep(address);
    const value = this.temp();
    this.tlbEntry(a);
    this.f.when(
      this.hit(a, size, TLB.read),
      () => {
        this.f.emit(value.set(loadSized(size, this.hostAddress(a))));
        this.note(0, size, a, value);
      },
      () => {
        this.#slowLoad(a, size, false);
        this.f.emit(value.set(loadSized(size, this.r.host.get)));
      },
    );
    return value;
  }

  #slowStore(a: Local<'i64'>, size: Size, value: Local<'i64'>): void {
    const { base } = this.r;
    this.f.emit(i64.store(base.get, a.get, S.SLOW_ADDRESS), i64.store(base.get, value.get, S.SLOW_VALUE));
    this.f.brIf(this.#fault, i32.eqz(callValue('i32', this.#storeGate, base.get, i32.const(size))));
  }

  store(size: Size, address: I64, stored: I64): void {
    const a = this.keep(address);
    const value = this.keep(stored);
    this.tlbEntry(a);
    this.f.when(
      this.hit(a, size, TLB.write),
      () => {
        this.f.emit(storeSized(size, this.hostAddress(a), value.get));
        this.note(1, size, a, value);
      },
      () => this.#slowStore(a, size, value),
    );
  }

  update(size: Size, address: I64, compute: (old: Local<'i64'>) => I64): void {
    const a = this.keep(address);
    const old = this.temp();
    this.tlbEntry(a);
    this.f.when(
      this.hit(a, size, TLB.write),
      () => {
        this.f.emit(old.set(loadSized(size, this.hostAddress(a))));
        this.note(0, size, a, old);
      },
      () => {
        this.#slowLoad(a, size, true);
        this.f.emit(old.set(loadSized(size, this.r.host.get)));
      },
    );
    this.store(size, a.get, compute(old));
  }

  next(): void {
    this.f.return(i32.const(CODE.next));
  }

  branch(rip: I64): void {
    this.f.emit(i64.store(this.r.base.get, rip, S.RIP));
    this.f.return(i32.const(CODE.jump));
  }

  jump(): void {
    this.branch(this.target());
  }

  #callSlow(): I32 {
    return callValue('i32', this.#calls.slow, this.r.base.get, this.r.rec.get);
  }

  slow(): void {
    this.f.return(this.#callSlow());
  }

  /** A slow instruction that ends a line: where it retires, RIP moves past it. */
  slowEnd(): void {
    const { host } = this.r;
    this.f.emit(host.set(this.#callSlow()));
    this.f.when(host.get, () => this.f.return(host.get));
    this.branch(this.nextRip());
  }

  cross(): void {
    const { base, rec } = this.r;
    this.f.brIf(this.#fault, i32.eqz(callValue('i32', this.#calls.cross, base.get, rec.get)));
    this.f.return(i32.const(CODE.skip));
  }

  divideError(): void {
    const { base } = this.r;
    this.f.emit(
      i64.store(base.get, k(FAULT.exception), S.FAULT_KIND),
      i64.store(base.get, k(VECTOR.DE), S.FAULT_VECTOR),
      i64.store(base.get, k(0), S.FAULT_ERROR),
      i64.store(base.get, k(0), S.FAULT_QUALIFICATION),
    );
    this.f.br(this.#fault);
  }

  #increment(slot: number): void {
    const { base } = this.r;
    this.f.emit(i64.store(base.get, i64.add(i64.load(base.get, slot), k(1)), slot));
  }

  /** The instruction goes on between two iterations: what the main loop noted was no fetch. */
  #resume(): void {
    const { base } = this.r;
    this.f.when(i32.load(base.get, S.REPEATING), () => {
      this.f.emit(i32.store(base.get, i32.const(0), S.REPEATING));
      if (!this.record.fetches) return;
      const takeBack = (): void => {
        const before = i32.sub(i32.load(base.get, S.RING_NEXT), i32.const(RING_RECORD.bytes));
        this.f.emit(i32.store(base.get, before, S.RING_NEXT));
      };
      takeBack();
      this.ifSecondFetch(takeBack);
    });
  }

  #leaveRepeating(status: number): void {
    this.f.emit(i32.store(this.r.base.get, i32.const(1), S.REPEATING));
    this.f.return(i32.const(status));
  }

  /**
   * Between two iterations. The one before may have changed this very instruction: then what is there now comes next,
   * wherever the run is cut. One across two pages is left after each iteration: its bytes are compared at entry.
   */
  #betweenIterations(handler: Local<'i32'>): void {
    const { base, rec } = this.r;
    this.f.when(i32.ne(i32.load16u(rec.get, R.handler), handler.get), () => this.f.return(i32.const(STATUS.leave)));
    const end = i32.add(i32.load16u(rec.get, R.offset), i32.load8u(rec.get, R.length));
    this.f.when(i32.gtU(end, i32.const(PAGE_BYTES)), () => this.#leaveRepeating(STATUS.leave));
    if (!this.record.data) return;
    const full = i32.gtU(i32.load(base.get, S.RING_NEXT), i32.load(base.get, S.RING_LIMIT));
    this.f.when(full, () => this.#leaveRepeating(STATUS.ring));
  }

  repeat(iteration: () => void, stop: (() => I32) | null): void {
    const { base, rec } = this.r;
    const finished = (): void => this.branch(this.nextRip());
    const handler = this.f.local('i32');
    const begun = this.f.local('i32');
    this.#resume();
    this.f.emit(handler.set(i32.load16u(rec.get, R.handler)));
    this.f.loop((again) => {
      const count = this.keep(i64.and(this.readRegister(GPR.RCX, 8), this.addressMask()));
      this.f.when(i64.eqz(count.get), () => {
        // ECX at 0 from the start is written all the same: the high half of RCX is lost.
        this.move(GPR.RCX, k(0));
        finished();
      });
      this.f.when(begun.get, () => this.#betweenIterations(handler));
      const due = i64.geU(this.now(), i64.load(base.get, S.DEADLINE));
      this.f.when(due, () => this.#leaveRepeating(STATUS.deadline));
      this.f.emit(begun.set(i32.const(1)));
      iteration();
      this.move(GPR.RCX, k(-1));
      this.#increment(S.TICK);
      this.#increment(S.NONSTEP);
      if (stop) this.f.when(stop(), finished);
      this.f.br(again);
    });
    this.f.unreachable();
  }
}
