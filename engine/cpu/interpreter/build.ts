/**
 * Generates the interpreter. `run` holds the main loop: frequent instructions, which call nothing, so that V8 keeps what
 * matters in registers. Every instruction is a function of its own besides, found through a table by the record's handler
 * (careful.ts); `run` calls it where the main loop has no such instruction or cannot finish it.
 *
 * Ticks are counted where a straight line ends: `start` is the first record not yet counted, and records of a line are
 * contiguous, so (rec - start) / 64 instructions have retired since. A line is entered only if all of it fits before
 * DEADLINE; the executor stops inside a line by putting a `stop` record there.
 */
import { FETCH_TLB, JUMP_RECORD, TAG, TLB, VCPU } from '../../memory/map.js';
import { PAGE, PAGE_INFO } from '../../memory/physical.js';
import { RING_RECORD } from '../../observer.js';
import {
  type Callable,
  callValue,
  type FunctionBuilder,
  type I32,
  i32,
  i64,
  type Label,
  type Signature,
  type ValueType,
} from '../../wasm/assembler.js';
import { Module } from '../../wasm/module.js';
import { R, RECORD_BYTES } from '../insn.js';
import { S } from '../layout.js';
import { k, SIZES } from '../semantics/context.js';
import { formOf, HANDLERS, MAIN_HANDLERS, NO_INSTRUCTIONS, PSEUDO } from '../semantics/forms.js';
import { CarefulContext } from './careful.js';
import { FastContext, type MainLocals } from './fast.js';
import { storeSized } from './operands.js';
import { type Calls, CODE, type Recorded, STATUS } from './protocol.js';

const I32S = (n: number): readonly ValueType[] => Array.from({ length: n }, () => 'i32');
const signature = (params: number): Signature => ({ params: I32S(params), results: ['i32'] });
/** (base, record). */
const HANDLER = signature(2);

/** An instruction makes two accesses in generated code at the most, and its fetch takes two records. */
const RING_SHIFT = 8;
if (4 * RING_RECORD.bytes > 1 << RING_SHIFT) throw new Error('ring space of a line is underestimated');

/** Stores into pages that hold code: fast where the lines written hold no decoded bytes. */
function storeGate(module: Module, store: Callable, record: Recorded): Callable {
  return module.func(null, signature(2), (f) => {
    const base = f.param('i32', 0);
    const size = f.param('i32', 1);
    const a = f.local('i64');
    const entry = f.local('i32');
    const info = f.local('i32');
    const lines = f.local('i64');
    f.emit(a.set(i64.load(base.get, S.SLOW_ADDRESS)));
    const index = i32.and(i32.wrap(i64.shrU(a.get, k(7))), i32.const((TLB.entries - 1) << 5));
    f.emit(entry.set(i32.add(base.get, index)));
    const last = i64.add(a.get, i64.extendU(i32.sub(size.get, i32.const(1))));
    const tag = i64.or(i64.load(base.get, S.TLB_TAG), k(TAG.slowStore));
    const wanted = i64.or(i64.and(last, k(~0xfffn)), tag);
    // Recording takes the slow path: it needs the ring.
    if (!record.data) {
      f.when(i64.eq(wanted, i64.load(entry.get, VCPU.tlb + TLB.write)), () => {
        f.emit(info.set(i32.load(entry.get, VCPU.tlb + TLB.info)));
        const line = (v: typeof last) => i64.and(i64.shrU(v, k(6)), k(63));
        const touched = i64.or(i64.shl(k(1), line(a.get)), i64.shl(k(1), line(last)));
        f.emit(lines.set(i64.and(i64.load(info.get, PAGE_INFO.lines), touched)));
        const watched = i32.and(i32.load(info.get, PAGE_INFO.bits), i32.const(PAGE.watched));
        f.when(i32.and(i64.eqz(lines.get), i32.eqz(watched)), () => {
          const address = i32.add(i32.wrap(a.get), i32.load(entry.get, VCPU.tlb + TLB.addend));
          for (const bytes of SIZES) {
            f.when(i32.eq(size.get, i32.const(bytes)), () =>
              f.emit(storeSized(bytes, address, i64.load(base.get, S.SLOW_VALUE))),
            );
          }
          f.return(i32.const(1));
        });
      });
    }
    f.return(callValue('i32', store, base.get, size.get));
  });
}

/** Handlers that are no form, as functions. `jump` and `refetch` never leave the main loop. */
const emitPseudo = (c: CarefulContext, handler: number): void => {
  if (handler === PSEUDO.slow) c.slow();
  else if (handler === PSEUDO.slowEnd) c.slowEnd();
  else if (handler === PSEUDO.cross) c.cross();
  else if (handler === PSEUDO.stop) c.f.return(i32.const(STATUS.stop));
};

/** The function that executes records of one handler. */
const handlerFunction = (module: Module, calls: Calls, store: Callable, record: Recorded, handler: number): Callable =>
  module.func(null, HANDLER, (f) => {
    const base = f.param('i32', 0);
    const rec = f.param('i32', 1);
    const locals = { base, rec, entry: f.local('i32'), host: f.local('i32'), tag: f.local('i64') };
    f.emit(locals.tag.set(i64.load(base.get, S.TLB_TAG)));
    f.block((fault) => {
      const c = new CarefulContext(f, locals, calls, store, fault, record);
      const form = formOf(handler);
      if (form) form.emit(c);
      else emitPseudo(c, handler);
      f.unreachable();
    });
    // This record has not retired: RIP and TICK stand as they were.
    f.return(i32.const(STATUS.fault));
    f.unreachable();
  });

/** At `target`: finds its record, or branches to `fetch`. Sets the link of the branch in `from`. */
function emitResolve(f: FunctionBuilder, r: MainLocals, fetch: Label, record: Recorded): void {
  const { base, rec, tag, target, from, entry, host } = r;
  const inPage = i64.sub(target.get, i64.load(base.get, S.PAGE_LINEAR));
  const linear = i64.and(i64.add(target.get, i64.load(base.get, S.CODE_BASE)), i64.load(base.get, S.CODE_MASK));
  f.when(i64.geU(inPage, k(4096)), () => {
    const index = i32.and(i32.wrap(i64.shrU(linear, k(7))), i32.const((FETCH_TLB.entries - 1) << 5));
    f.emit(entry.set(i32.add(base.get, index)), from.set(i32.const(0)));
    const wanted = i64.or(i64.and(linear, k(~0xfffn)), tag.get);
    f.brIf(fetch, i64.ne(wanted, i64.load(entry.get, VCPU.fetchTlb + FETCH_TLB.tag)));
    f.emit(host.set(i32.load(entry.get, VCPU.fetchTlb + FETCH_TLB.map)));
    f.brIf(fetch, i32.eqz(host.get));
    f.emit(
      i32.store(base.get, host.get, S.CODE_PAGE),
      i64.store(base.get, i64.sub(target.get, i64.and(linear, k(0xfff))), S.PAGE_LINEAR),
    );
    if (!record.fetches) return;
    f.emit(i64.store(base.get, i64.load(entry.get, VCPU.fetchTlb + FETCH_TLB.gpa), S.PAGE_GPA));
  });
  const slot = i32.add(i32.load(base.get, S.CODE_PAGE), i32.shl(i32.wrap(inPage), i32.const(2)));
  f.emit(rec.set(i32.load(slot)));
  f.brIf(fetch, i32.eqz(rec.get));
  f.when(from.get, () => f.emit(i32.store(from.get, rec.get, R.link)));
}

/** The record at `rec` starts a line: leaves where it does not fit before the deadline, or into the ring. */
function emitEnter(
  f: FunctionBuilder,
  r: MainLocals,
  status: MainLocals['host'],
  leave: Label,
  record: Recorded,
): void {
  const { base, rec, start, left } = r;
  const remaining = i32.load16u(rec.get, R.remaining);
  const leaveIf = (condition: I32, why: number): void => {
    f.emit(status.set(i32.const(why)));
    f.brIf(leave, condition);
  };
  f.emit(start.set(rec.get));
  leaveIf(i32.gtS(remaining, left.get), STATUS.deadline);
  if (!record.data) return;
  const end = i32.add(i32.shl(remaining, i32.const(RING_SHIFT)), i32.load(base.get, S.RING_NEXT));
  leaveIf(i32.gtU(end, i32.load(base.get, S.RING_LIMIT)), STATUS.ring);
}

/** The main loop, and what to do where it falls through: `miss` for a record, `fetch` for a target. */
function emitMainLoop(
  f: FunctionBuilder,
  r: MainLocals,
  leave: Label,
  miss: Label,
  fetch: Label,
  record: Recorded,
): void {
  const { rec, target } = r;
  f.loop((dispatch) => {
    f.block((enter) => {
      f.block((branch) => {
        f.block((jump) => {
          const c = new FastContext(f, r, { dispatch, branch, jump, miss }, record);
          if (record.fetches) {
            const pseudo = i32.sub(i32.load16u(rec.get, R.handler), i32.const(PSEUDO.jump));
            f.when(i32.geU(pseudo, i32.const(NO_INSTRUCTIONS)), () => c.noteFetch());
          }
          f.table(i32.load16u(rec.get, R.handler), MAIN_HANDLERS, miss, (handler) => {
            c.restart();
            const form = formOf(handler);
            if (form) form.emit(c);
            else if (handler === PSEUDO.jump) f.br(branch);
            else {
              c.count(0);
              c.follow(enter);
              f.emit(target.set(c.rip()));
              f.br(branch);
            }
          });
        });
        const c = new FastContext(f, r, { dispatch, branch, jump: branch, miss }, record);
        c.count(1);
        c.follow(enter);
        f.emit(target.set(c.target()));
      });
      emitResolve(f, r, fetch, record);
    });
    emitEnter(f, r, r.host, leave, record);
    f.br(dispatch);
  });
}

function emitRun(f: FunctionBuilder, module: Module, calls: Calls, record: Recorded): void {
  const base = f.param('i32', 0);
  const r: MainLocals = {
    base,
    rec: f.local('i32'),
    start: f.local('i32'),
    left: f.local('i32'),
    from: f.local('i32'),
    entry: f.local('i32'),
    host: f.local('i32'),
    tag: f.local('i64'),
    target: f.local('i64'),
  };
  const { rec, start, left, from, host, tag, target } = r;
  const slot = (name: keyof typeof S) => i64.load(base.get, S[name]);
  const setTick = (ahead: I32) => i64.store(base.get, i64.sub(slot('DEADLINE'), i64.extendS(ahead)), S.TICK);
  const offset = i64.load16u(rec.get, R.offset);
  const setRip = () => i64.store(base.get, i64.add(slot('PAGE_LINEAR'), offset), S.RIP);
  const retired = i32.shrU(i32.sub(rec.get, start.get), i32.const(6));
  const startAt = (rip: typeof offset) => {
    f.emit(target.set(rip), rec.set(i32.const(JUMP_RECORD)), start.set(i32.const(JUMP_RECORD)));
    f.emit(from.set(i32.const(0)));
  };
  f.emit(tag.set(slot('TLB_TAG')), left.set(i32.wrap(i64.sub(slot('DEADLINE'), slot('TICK')))));
  startAt(slot('RIP'));
  // No page is current: the first branch looks it up.
  f.emit(i64.store(base.get, i64.add(target.get, k(0x1_0000)), S.PAGE_LINEAR));
  f.block((leave) => {
    f.loop((outer) => {
      f.block((fetch) => {
        f.block((miss) => emitMainLoop(f, r, leave, miss, fetch, record));
        f.emit(setTick(i32.sub(left.get, retired)), setRip(), i32.store(base.get, rec.get, S.RECORD));
        f.emit(host.set(module.callIndirect('i32', HANDLER, i32.load16u(rec.get, R.handler), base.get, rec.get)));
        f.when(i32.eq(host.get, i32.const(CODE.jump)), () => {
          const elapsed = i64.add(slot('TICK'), k(1));
          f.emit(left.set(i32.wrap(i64.sub(slot('DEADLINE'), elapsed))));
          startAt(slot('RIP'));
          f.br(outer);
        });
        f.when(i32.gtU(host.get, i32.const(CODE.skip)), () => f.return(host.get));
        f.emit(rec.set(i32.add(rec.get, i32.const(RECORD_BYTES))));
        f.emit(start.set(i32.add(start.get, i32.shl(host.get, i32.const(5)))));
        f.br(outer);
      });
      f.emit(i64.store(base.get, target.get, S.RIP), setTick(left.get));
      // What comes between instructions comes before a fetch that may fault.
      f.when(i32.gtS(i32.const(1), left.get), () => f.return(i32.const(STATUS.deadline)));
      f.emit(host.set(callValue('i32', calls.fetch, base.get)));
      f.when(host.get, () => f.return(host.get));
      startAt(target.get);
      f.br(outer);
    });
    f.unreachable();
  });
  f.emit(setTick(left.get), setRip());
  f.return(host.get);
}

/** The interpreter's module, in the variant that writes what `record` says into the ring. Exports `run(base)`. */
export function interpreterModule(record: Recorded, memoryPages: number): Uint8Array {
  const module = new Module();
  const calls: Calls = {
    slow: module.import('slow', signature(2)),
    load: module.import('load', signature(2)),
    store: module.import('store', signature(2)),
    segment: module.import('segment', { params: I32S(3), results: [] }),
    fetch: module.import('fetch', signature(1)),
    cross: module.import('cross', signature(2)),
  };
  const store = storeGate(module, calls.store, record);
  const handlers = Array.from({ length: HANDLERS }, (_, i) => handlerFunction(module, calls, store, record, i));
  module.table(handlers);
  module.func('run', signature(1), (f) => {
    emitRun(f, module, calls, record);
    f.unreachable();
  });
  return module.bytes(memoryPages);
}
