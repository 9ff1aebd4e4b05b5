/** Page walks against an independent walker, on random tables: Intel SDM Vol. 3A, "Paging". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FAULT } from '../../../engine/cpu/fault.js';
import { S } from '../../../engine/cpu/layout.js';
import { walk } from '../../../engine/memory/paging.js';
import { ACCESS, Walk } from '../../../engine/memory/walk.js';
import { Bench } from './bench.js';

const PHYSICAL_BITS = 39n;

interface Setting {
  readonly mode: '32' | 'pae' | '4-level';
  readonly pse: boolean;
  readonly wp: boolean;
  readonly nxe: boolean;
  readonly smep: boolean;
  readonly smap: boolean;
  readonly ac: boolean;
}

type Answer =
  | { readonly error: number }
  | { readonly page: bigint; readonly flags: readonly (readonly [number, bigint])[] };

/**
 * The manual's rules, one sentence at a time, over BigInt. `flags` lists what the entries become: address and value.
 */
function expected(bench: Bench, setting: Setting, linear: bigint, access: number): Answer {
  const { mode, nxe, smep, smap, ac, wp } = setting;
  const user = (access & ACCESS.user) !== 0 && !(access & ACCESS.implicit);
  const write = (access & ACCESS.write) !== 0;
  const fetch = (access & ACCESS.fetch) !== 0;
  const base = (write ? 2 : 0) | (user ? 4 : 0) | (fetch && ((nxe && mode !== '32') || smep) ? 16 : 0);
  const narrow = mode === '32';
  const levels = narrow ? [22n, 12n] : mode === 'pae' ? [21n, 12n] : [39n, 30n, 21n, 12n];
  let table = bench.cpu.u64(S.CR3) & ~0xfffn;
  if (mode === 'pae') {
    const pointer = bench.cpu.u64(S.PDPTE0 + 8 * Number(linear >> 30n));
    if (!(pointer & 1n)) return { error: base };
    table = pointer & 0xf_ffff_ffff_f000n;
  }
  let writable = true;
  let userPage = true;
  let noExecute = false;
  const used: [number, bigint][] = [];
  let size = 0n;
  let page = 0n;
  for (const shift of levels) {
    const index = narrow ? (linear >> shift) & 1023n : (linear >> shift) & 511n;
    const at = Number(table + index * (narrow ? 4n : 8n));
    const entry = narrow ? BigInt(bench.memory.read(at, 4)) : bench.memory.read64(at);
    if (!(entry & 1n)) return { error: base };
    const large = (entry & 0x80n) !== 0n && (narrow ? shift === 22n && setting.pse : shift === 21n || shift === 30n);
    let reserved = 0n;
    if (!narrow) {
      for (let bit = PHYSICAL_BITS; bit < (mode === 'pae' ? 63n : 52n); bit++) reserved |= 1n << bit;
      if (!nxe) reserved |= 1n << 63n;
      if (shift === 39n) reserved |= 0x80n;
      if (large) for (let bit = 13n; bit < shift; bit++) reserved |= 1n << bit;
    } else if (large) reserved = 0x20_0000n | (0x1f_e000n & ~((1n << (PHYSICAL_BITS - 32n + 13n)) - 1n));
    if (entry & reserved) return { error: base | 9 };
    writable &&= (entry & 2n) !== 0n;
    userPage &&= (entry & 4n) !== 0n;
    noExecute ||= !narrow && entry >> 63n === 1n;
    used.push([at, entry]);
    table = narrow ? entry & 0xffff_f000n : entry & 0xf_ffff_ffff_f000n;
    if (large || shift === 12n) {
      size = 1n << shift;
      page = narrow && large ? (entry & 0xffc0_0000n) | (((entry >> 13n) & 0xffn) << 32n) : table & ~(size - 1n);
      break;
    }
  }
  const smapStops = smap && !fetch && userPage && !user && (!ac || (access & ACCESS.implicit) !== 0);
  const denied =
    (fetch && noExecute) ||
    (user && !userPage) ||
    (write && !writable && (user || wp)) ||
    (!user && fetch && userPage && smep) ||
    smapStops;
  if (denied) return { error: base | 1 };
  const flags = used.map(([at, entry], i): [number, bigint] => {
    const dirty = write && i === used.length - 1 ? 0x40n : 0n;
    return [at, entry | 0x20n | dirty];
  });
  return { page: page + (linear & (size - 1n) & ~0xfffn), flags };
}

/** Entries that often point at tables, and often have one bit wrong. */
const TABLES = [0x1_0000, 0x1_1000, 0x1_2000, 0x1_3000, 0x1_4000];
const entry = fc.record({
  target: fc.constantFrom(...TABLES, 0x20_0000, 0x4000_0000),
  rights: fc.constantFrom(7, 7, 7, 3, 5, 1, 0, 0x27, 0x67, 0x107),
  extra: fc.constantFrom(
    0n,
    0n,
    0n,
    0n,
    0x80n,
    0x80n,
    1n << 63n,
    1n << 39n,
    1n << 52n,
    0x2000n,
    0x1000n,
    1n << 20n,
    1n << 21n,
  ),
});
const setting = fc.record({
  mode: fc.constantFrom('32', 'pae', '4-level') as fc.Arbitrary<Setting['mode']>,
  pse: fc.boolean(),
  wp: fc.boolean(),
  nxe: fc.boolean(),
  smep: fc.boolean(),
  smap: fc.boolean(),
  ac: fc.boolean(),
});
const accesses = fc.constantFrom(
  0,
  ACCESS.write,
  ACCESS.fetch,
  ACCESS.user,
  ACCESS.user | ACCESS.write,
  ACCESS.user | ACCESS.fetch,
  ACCESS.implicit,
  ACCESS.user | ACCESS.implicit,
  ACCESS.user | ACCESS.implicit | ACCESS.write,
);

function arrange(bench: Bench, s: Setting): void {
  const { cpu } = bench;
  const bits = (pairs: readonly [boolean, bigint][]): bigint =>
    pairs.reduce((all, [on, bit]) => (on ? all | bit : all), 0n);
  cpu.setU64(S.CR0, 0x8000_0011n | (s.wp ? 0x1_0000n : 0n));
  cpu.setU64(S.CR3, BigInt(TABLES[0] ?? 0));
  const wide = s.mode !== '32';
  cpu.setU64(
    S.CR4,
    bits([
      [s.pse, 0x10n],
      [wide, 0x20n],
      [s.smep, 0x10_0000n],
      [s.smap, 0x20_0000n],
    ]),
  );
  cpu.setU64(
    S.EFER,
    bits([
      [s.mode === '4-level', 0x500n],
      [s.nxe, 0x800n],
    ]),
  );
  cpu.rflags = s.ac ? 0x4_0002 : 2;
}

test('walks agree with the rules of the manual on random tables', () => {
  const bench = new Bench();
  const out = new Walk();
  let translated = 0;
  let faulted = 0;
  const property = fc.property(
    setting,
    fc.array(fc.tuple(fc.constantFrom(...TABLES), fc.nat(3), entry), { minLength: 4, maxLength: 24 }),
    fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3), fc.nat(3), fc.nat(0xfff)),
    accesses,
    (s, entries, [i4, i3, i2, i1, offset], access) => {
      for (const table of TABLES) bench.memory.copyIn(table, new Uint8Array(0x1000));
      const narrow = s.mode === '32';
      for (const [table, index, { target, rights, extra }] of entries) {
        const value = BigInt(target) | BigInt(rights) | extra;
        if (narrow) bench.memory.write(table + 4 * index, 4, Number(value & 0xffff_ffffn));
        else bench.memory.write64(table + 8 * index, value);
      }
      arrange(bench, s);
      for (let i = 0; i < 4; i++) bench.cpu.setU64(S.PDPTE0 + 8 * i, i === 3 ? 0n : BigInt((TABLES[i] ?? 0) | 1));
      const linear = narrow
        ? (BigInt(i2) << 22n) | (BigInt(i1) << 12n) | BigInt(offset)
        : ((s.mode === '4-level' ? BigInt(i4) : 0n) << 39n) |
          (BigInt(i3) << 30n) |
          (BigInt(i2) << 21n) |
          (BigInt(i1) << 12n) |
          BigInt(offset);
      const answer = expected(bench, s, linear, access);
      walk(bench.cpu, linear, access, out);
      if ('error' in answer) {
        faulted++;
        assert.equal(out.fault, FAULT.exception);
        assert.equal(out.errorCode, answer.error);
        return;
      }
      translated++;
      assert.equal(out.fault, FAULT.none);
      assert.equal(BigInt(out.guestFrame) << 12n, answer.page);
      assert.equal(out.hostFrame, out.guestFrame);
      // An entry used twice (a table that names itself) has the flags of both uses.
      const final = new Map<number, bigint>();
      for (const [at, value] of answer.flags) final.set(at, (final.get(at) ?? 0n) | value);
      for (const [at, value] of final) {
        assert.equal(narrow ? BigInt(bench.memory.read(at, 4)) : bench.memory.read64(at), value);
      }
    },
  );
  fc.assert(property, { numRuns: 20_000, seed: 7 });
  assert.ok(translated > 1000 && faulted > 1000, `${translated} translated, ${faulted} faulted`);
});

test('a faulting walk sets no accessed or dirty flag', () => {
  const bench = new Bench();
  const out = new Walk();
  arrange(bench, { mode: '4-level', pse: false, wp: true, nxe: true, smep: false, smap: false, ac: false });
  bench.put(0x1_0000, 0x1_1003n);
  bench.put(0x1_1000, 0x1_2003n);
  bench.put(0x1_2000, 0x1_3003n);
  bench.put(0x1_3000, 0x5001n);
  walk(bench.cpu, 0n, ACCESS.write, out);
  assert.equal(out.errorCode, 3);
  for (const at of [0x1_0000, 0x1_1000, 0x1_2000, 0x1_3000]) assert.equal(bench.memory.read(at, 4) & 0x60, 0);
});

test('a walk says a later store needs none only when the dirty flag is set and writing is permitted', () => {
  const bench = new Bench();
  const out = new Walk();
  arrange(bench, { mode: '4-level', pse: false, wp: true, nxe: true, smep: false, smap: false, ac: false });
  bench.put(0x1_0000, 0x1_1007n);
  bench.put(0x1_1000, 0x1_2007n);
  bench.put(0x1_2000, 0x1_3007n);
  bench.put(0x1_3000, 0x5007n, 0x6065n, 0x7005n);
  walk(bench.cpu, 0n, 0, out);
  assert.equal(out.writable, false, 'clean page');
  walk(bench.cpu, 0n, ACCESS.write, out);
  assert.equal(out.writable, true, 'after a write');
  walk(bench.cpu, 0n, 0, out);
  assert.equal(out.writable, true, 'dirty page');
  walk(bench.cpu, 0x1000n, 0, out);
  assert.equal(out.writable, false, 'dirty, but read-only');
});

test('every read and write of a paging entry is told, with the whole entry', () => {
  const bench = new Bench();
  const out = new Walk();
  arrange(bench, { mode: '4-level', pse: false, wp: true, nxe: true, smep: false, smap: false, ac: false });
  bench.put(0x1_0000, 0x1_1027n);
  bench.put(0x1_1000, 0x1_2027n);
  bench.put(0x1_2000, (1n << 63n) | 0x20_00a7n);
  const told: unknown[] = [];
  bench.cpu.walkObserver = (...record) => told.push(record);
  walk(bench.cpu, 0n, ACCESS.write, out);
  assert.deepEqual(told, [
    [0x1_0000, 0x1_1027n, false, 8],
    [0x1_1000, 0x1_2027n, false, 8],
    [0x1_2000, (1n << 63n) | 0x20_00a7n, false, 8],
    [0x1_2000, (1n << 63n) | 0x20_00e7n, true, 8],
  ]);
});

test('non-canonical addresses are answered with a fault', () => {
  const bench = new Bench();
  const out = new Walk();
  arrange(bench, { mode: '4-level', pse: false, wp: true, nxe: true, smep: false, smap: false, ac: false });
  for (const linear of [1n << 47n, 1n << 63n, 0xffff_7fff_ffff_f000n]) {
    walk(bench.cpu, linear, 0, out);
    assert.equal(out.fault, FAULT.exception);
  }
});

test('without paging the linear address is the physical one', () => {
  const bench = new Bench();
  const out = new Walk();
  walk(bench.cpu, 0xffff_ffffn, ACCESS.write, out);
  assert.equal(out.fault, FAULT.none);
  assert.equal(out.hostFrame, 0xf_ffff);
  assert.equal(out.writable, true);
});
