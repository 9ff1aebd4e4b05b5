/**
 * Generates the interpreter: one WebAssembly function that runs decoded records until something needs the run loop.
 *
 * Ticks are counted where a straight line ends: `start` is the first record not yet counted, and records of a line
 * are contiguous, so (rec - start) / 64 instructions have retired. A line is entered only if all of it fits before
 * DEADLINE; the run loop stops inside a line by putting a `stop` record there.
 */

import { FETCH_TLB, TAG, TLB, VCPU } from '../../memory/map.js';
import { PAGE, PAGE_INFO } from '../../memory/physical.js';
import { RING_RECORD } from '../../observer.js';
import {
  type Callable,
  callValue,
  type FunctionBuilder,
  i32,
  i64,
  Module,
  type Value,
  type ValueType,
} from '../../wasm/assembler.js';
import { R, RECORD_BYTES } from '../insn.js';
import { S } from '../layout.js';
import { k, SIZES } from '../semantics/context.js';
import { FORMS, HANDLERS, PSEUDO } from '../semantics/forms.js';
import { type Calls, InterpreterContext, type Labels, type Registers, STATUS, storeSized } from './context.js';

const I32S = (n: number): readonly ValueType[] => Array.from({ length: n }, () => 'i32');
const signature = (params: number): { params: readonly ValueType[]; results: readonly ValueType[] } => ({
  params: I32S(params),
  results: ['i32'],
});

/** Functions of TypeScript that generated code imports; `Calls` and what fetching needs. */
export interface Imports {
  slow(base: number, record: number): number;
  load(base: number, sizeAndIntent: number): number;
  store(base: number, size: number): number;
  segment(base: number, segment: number, sizeAndIntent: number): void;
  /** Translates S.RIP; sets CODE_PAGE and PAGE_LINEAR and answers the record there, or 0 for a fault. */
  fetch(base: number): number;
  /** Decodes at an offset of the current code page and answers the record. */
  decode(base: number, offset: number): number;
  /** Checks an instruction that crosses a page: 1, or 0 for a fault, or 2 to decode again. */
  cross(base: number, record: number): number;
}

/** Stores into pages that hold code: fast where the lines written hold no decoded bytes. */
function storeGate(module: Module, store: Callable, record: boolean): Callable {
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
    if (!record) {
      f.when(i64.eq(wanted, i64.load(entry.get, VCPU.tlb + TLB.write)), () => {
        f.emit(info.set(i32.load(entry.get, VCPU.tlb + TLB.info)));
        const line = (v: typeof last) => i64.and(i64.shrU(v, k(6)), k(63));
        const touched = i64.or(i64.shl(k(1), line(a.get)), i64.shl(k(1), line(last)));
        f.emit(lines.set(i64.and(i64.load(info.get, PAGE_INFO.lines), touched)));
        const watched = i32.and(i32.load(info.get, PAGE_INFO.bits), i32.const(PAGE.watched));
        f.when(i32.and(i64.eqz(lines.get), i32.eqz(watched)), () => {
          const page = i32.load(entry.get, VCPU.tlb + TLB.host);
          const address = i32.add(page, i32.and(i32.wrap(a.get), i32.const(0xfff)));
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

interface Fetching {
  readonly fetch: Callable;
  readonly decode: Callable;
  readonly cross: Callable;
}

/** At `target`: finds the record there, checks deadline and ring, and starts a new straight line. */
function emitBranch(f: FunctionBuilder, r: Registers, labels: Labels, fetching: Fetching, record: boolean): void {
  const { base, rec, start, tick, pageRip, codeMap, tag, target, status, entry } = r;
  const offset = i32.wrap(i64.sub(target.get, pageRip.get));
  const inPage = i64.ltU(i64.sub(target.get, pageRip.get), k(4096));
  const map = (at: Value<'i32'>): Value<'i32'> => i32.load(i32.add(codeMap.get, i32.shl(at, i32.const(2))));
  const leave = (why: number): void => {
    f.emit(status.set(i32.const(why)));
    f.br(labels.leave);
  };
  f.when(
    inPage,
    () => f.emit(rec.set(map(offset))),
    () => {
      const linear = i64.and(i64.add(target.get, i64.load(base.get, S.CODE_BASE)), i64.load(base.get, S.CODE_MASK));
      const index = i32.and(i32.wrap(i64.shrU(linear, k(8))), i32.const((FETCH_TLB.entries - 1) << 4));
      f.emit(rec.set(i32.const(0)), entry.set(i32.add(base.get, index)), codeMap.set(i32.const(0)));
      const wanted = i64.or(i64.and(linear, k(~0xfffn)), tag.get);
      f.when(i64.eq(wanted, i64.load(entry.get, VCPU.fetchTlb + FETCH_TLB.tag)), () =>
        f.emit(codeMap.set(i32.load(entry.get, VCPU.fetchTlb + FETCH_TLB.map))),
      );
      f.when(
        codeMap.get,
        () => {
          f.emit(
            pageRip.set(i64.sub(target.get, i64.and(linear, k(0xfff)))),
            i64.store(base.get, pageRip.get, S.PAGE_LINEAR),
            i32.store(base.get, codeMap.get, S.CODE_PAGE),
            rec.set(map(offset)),
          );
        },
        () => {
          f.emit(
            i64.store(base.get, target.get, S.RIP),
            i64.store(base.get, tick.get, S.TICK),
            rec.set(callValue('i32', fetching.fetch, base.get)),
          );
          f.when(i32.eqz(rec.get), () => f.return(i32.const(STATUS.fault)));
          f.emit(codeMap.set(i32.load(base.get, S.CODE_PAGE)), pageRip.set(i64.load(base.get, S.PAGE_LINEAR)));
        },
      );
    },
  );
  f.when(i32.eqz(rec.get), () => f.emit(rec.set(callValue('i32', fetching.decode, base.get, offset))));
  const remaining = i32.load16u(rec.get, R.remaining);
  const end = i64.add(tick.get, i64.extendU(remaining));
  f.when(i64.gtU(end, i64.load(base.get, S.DEADLINE)), () => leave(STATUS.deadline));
  if (record) {
    // No instruction of generated code makes more than two accesses.
    const need = i32.add(i32.shl(remaining, i32.const(7)), i32.load(base.get, S.RING_NEXT));
    if (2 * RING_RECORD.bytes > 128) throw new Error('ring space of a line is underestimated');
    f.when(i32.gtU(need, i32.load(base.get, S.RING_LIMIT)), () => leave(STATUS.ring));
  }
  f.emit(start.set(rec.get));
  f.br(labels.dispatch);
}

function emitPseudo(c: InterpreterContext, r: Registers, labels: Labels, cross: Callable, handler: number): void {
  const { f } = c;
  const { base, rec, start } = r;
  if (handler === PSEUDO.slow) c.slow('next');
  else if (handler === PSEUDO.slowEnd) c.slow('branch');
  else if (handler === PSEUDO.refetch) c.restartHere('branch');
  else if (handler === PSEUDO.stop) c.restartHere('leave', STATUS.stop);
  else if (handler === PSEUDO.gate) c.restartHere('leave', STATUS.gate);
  else {
    const answer = r.status;
    c.settle();
    f.emit(answer.set(callValue('i32', cross, base.get, rec.get)));
    // This record is no instruction: move both ends of the count past it.
    f.when(i32.eqz(answer.get), () => f.br(labels.fault));
    f.when(i32.eq(answer.get, i32.const(2)), () => c.restartHere('branch'));
    f.emit(rec.set(i32.add(rec.get, i32.const(RECORD_BYTES))), start.set(i32.add(start.get, i32.const(RECORD_BYTES))));
    f.br(labels.dispatch);
  }
}

function emitRun(f: FunctionBuilder, calls: Calls, fetching: Fetching, record: boolean): void {
  const base = f.param('i32', 0);
  const r: Registers = {
    base,
    rec: f.local('i32'),
    start: f.local('i32'),
    codeMap: f.local('i32'),
    status: f.local('i32'),
    entry: f.local('i32'),
    host: f.local('i32'),
    tick: f.local('i64'),
    pageRip: f.local('i64'),
    tag: f.local('i64'),
    target: f.local('i64'),
  };
  f.emit(
    r.tick.set(i64.load(base.get, S.TICK)),
    r.tag.set(i64.load(base.get, S.TLB_TAG)),
    r.target.set(i64.load(base.get, S.RIP)),
    // No page is current: the first branch looks it up.
    r.pageRip.set(i64.add(r.target.get, k(0x1_0000))),
  );
  f.block((leave) => {
    f.block((fault) => {
      f.loop((branch) => {
        const labels = { branch, leave, fault };
        f.block((fetched) => emitBranch(f, r, { ...labels, dispatch: fetched }, fetching, record));
        f.loop((dispatch) => {
          const here: Labels = { ...labels, dispatch };
          const c = new InterpreterContext(f, r, here, calls, record);
          f.table(i32.load16u(r.rec.get, R.handler), HANDLERS, (i) => {
            c.restart();
            const form = FORMS[i];
            if (form) form.emit(c);
            else emitPseudo(c, r, here, fetching.cross, i);
          });
        });
      });
      f.unreachable();
    });
    // Fault: this record has not retired.
    const retired = i32.shrU(i32.sub(r.rec.get, r.start.get), i32.const(6));
    f.emit(
      i64.store(base.get, i64.add(r.tick.get, i64.extendU(retired)), S.TICK),
      i64.store(base.get, i64.add(r.pageRip.get, i64.extendU(i32.load16u(r.rec.get, R.offset))), S.RIP),
    );
    f.return(i32.const(STATUS.fault));
  });
  f.emit(i64.store(base.get, r.target.get, S.RIP), i64.store(base.get, r.tick.get, S.TICK));
  f.return(r.status.get);
}

/** The interpreter's module; `record`: the variant that writes memory accesses into the ring. Exports `run(base)`. */
export function interpreterModule(record: boolean, memoryPages: number): Uint8Array {
  const module = new Module();
  const slow = module.import('slow', signature(2));
  const load = module.import('load', signature(2));
  const store = module.import('store', signature(2));
  const segment = module.import('segment', { params: I32S(3), results: [] });
  const fetching: Fetching = {
    fetch: module.import('fetch', signature(1)),
    decode: module.import('decode', signature(2)),
    cross: module.import('cross', signature(2)),
  };
  const calls: Calls = { slow, load, segment, store: storeGate(module, store, record) };
  module.func('run', signature(1), (f) => {
    emitRun(f, calls, fetching, record);
    f.unreachable();
  });
  return module.bytes(memoryPages);
}
