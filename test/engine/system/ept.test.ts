/** EPT against an independent walker on random tables: Intel SDM Vol. 3C, "The Extended Page Table Mechanism (EPT)". */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FAULT } from '../../../engine/cpu/fault.js';
import { S } from '../../../engine/cpu/layout.js';
import { skylake } from '../../../engine/cpu/models/skylake.js';
import { loadPdptes, walk } from '../../../engine/memory/paging.js';
import { ACCESS, Walk } from '../../../engine/memory/walk.js';
import { Bench, enterLongMode, faultOf, PML4 } from './bench.js';

const PHYSICAL_BITS = 39n;
const TABLES = [0x1_0000, 0x1_1000, 0x1_2000, 0x1_3000] as const;
const EPTP = BigInt(TABLES[0]) | 0x1en;
const FLAGS = 0x40n;

type Answer =
  | { readonly kind: 'page'; readonly page: bigint; readonly flags: ReadonlyMap<number, bigint> }
  | { readonly kind: 'misconfig' }
  | { readonly kind: 'violation'; readonly qualification: bigint };

/** The rules of the manual, over BigInt, for an access to the final guest-physical address. */
function expected(bench: Bench, gpa: bigint, access: number, ad: boolean): Answer {
  const wanted = access & ACCESS.fetch ? 4n : access & ACCESS.write ? 2n : 1n;
  let rights = 7n;
  let table = BigInt(TABLES[0]);
  const used: [number, bigint][] = [];
  for (const shift of [39n, 30n, 21n, 12n]) {
    const at = Number(table + ((gpa >> shift) & 511n) * 8n);
    const entry = bench.memory.read64(at);
    if ((entry & 7n) === 0n) return { kind: 'violation', qualification: 0x180n | wanted };
    // "Bit 1 without bit 0" covers 010b and 110b; execute-only needs a capability, which this model has.
    if ((entry & 3n) === 2n) return { kind: 'misconfig' };
    if (entry & (((1n << 52n) - 1n) ^ ((1n << PHYSICAL_BITS) - 1n))) return { kind: 'misconfig' };
    const leaf = shift === 12n || (shift < 39n && (entry & 0x80n) !== 0n);
    if (!leaf && entry & (shift === 39n ? 0xf8n : 0x78n)) return { kind: 'misconfig' };
    if (leaf && [2n, 3n, 7n].includes((entry >> 3n) & 7n)) return { kind: 'misconfig' };
    if (leaf && entry & ((1n << shift) - 1n) & ~0xfffn) return { kind: 'misconfig' };
    rights &= entry;
    used.push([at, entry]);
    table = entry & 0xf_ffff_ffff_f000n;
    if (!leaf) continue;
    if (!(rights & wanted)) return { kind: 'violation', qualification: 0x180n | wanted | ((rights & 7n) << 3n) };
    const flags = new Map<number, bigint>();
    used.forEach(([entryAt, value], i) => {
      const dirty = wanted === 2n && i === used.length - 1 ? 0x200n : 0n;
      const set = ad ? 0x100n | dirty : 0n;
      flags.set(entryAt, (flags.get(entryAt) ?? 0n) | value | set);
    });
    return { kind: 'page', page: table | (gpa & ((1n << shift) - 1n) & ~0xfffn), flags };
  }
  throw new Error('the last level is always a leaf');
}

const entry = fc.record({
  target: fc.constantFrom(...TABLES, 0x20_0000, 0x4000_0000),
  rights: fc.constantFrom(7, 7, 7, 7, 3, 5, 1, 4, 2, 6, 0),
  extra: fc.constantFrom(
    0n,
    0n,
    0n,
    0n,
    0n,
    0x30n,
    0x80n,
    0x80n,
    0xb0n,
    1n << 39n,
    1n << 52n,
    0x10n,
    0x38n,
    0x100n,
    0x300n,
    0x1000n,
  ),
});

test('EPT walks agree with the rules of the manual on random tables', () => {
  const bench = new Bench();
  const out = new Walk();
  const seen = { page: 0, misconfig: 0, violation: 0 };
  const property = fc.property(
    fc.array(fc.tuple(fc.constantFrom(...TABLES), fc.nat(3), entry), { maxLength: 5 }),
    fc.tuple(fc.nat(3), fc.nat(3), fc.nat(3)),
    fc.constantFrom(0, ACCESS.write, ACCESS.fetch),
    fc.boolean(),
    (entries, [i3, i2, i1], access, ad) => {
      // Sound tables, of which a few entries are then replaced.
      for (const [level, table] of TABLES.entries()) {
        bench.memory.copyIn(table, new Uint8Array(0x1000));
        for (let i = 0; i < 4; i++) {
          bench.memory.write64(
            table + 8 * i,
            BigInt(TABLES[level + 1] ?? 0x8000 + i * 0x1000) | (level === 3 ? 0x37n : 7n),
          );
        }
      }
      for (const [table, index, { target, rights, extra }] of entries) {
        bench.memory.write64(table + 8 * index, BigInt(target) | BigInt(rights) | extra);
      }
      bench.cpu.setU64(S.EPTP, EPTP | (ad ? FLAGS : 0n));
      // Paging is off: the linear address is the guest-physical one.
      const gpa = (BigInt(i3) << 30n) | (BigInt(i2) << 21n) | (BigInt(i1) << 12n) | 0x123n;
      const answer = expected(bench, gpa, access, ad);
      seen[answer.kind]++;
      walk(bench.cpu, gpa, access, out);
      if (answer.kind === 'page') {
        assert.equal(out.fault, FAULT.none);
        assert.equal(BigInt(out.hostFrame) << 12n, answer.page);
        assert.equal(BigInt(out.guestFrame), gpa >> 12n);
        for (const [at, value] of answer.flags) assert.equal(bench.memory.read64(at), value);
      } else {
        assert.equal(out.fault, answer.kind === 'violation' ? FAULT.ept_violation : FAULT.ept_misconfig);
        assert.equal(BigInt(out.faultGpa), gpa, 'the byte, not the page');
        if (answer.kind === 'violation') assert.equal(out.qualification, answer.qualification);
      }
    },
  );
  fc.assert(property, { numRuns: 20_000, seed: 11 });
  for (const [kind, count] of Object.entries(seen)) assert.ok(count > 500, `${kind}: ${count}`);
});

/** 64-bit mode on a guest whose 16 first pages are mapped one to one by 4-KiB EPT entries. */
function nested(ad: boolean): { bench: Bench; ept: (page: number) => number } {
  const bench = new Bench();
  enterLongMode(bench);
  bench.put(0x2_0000, 0x2_1007n);
  bench.put(0x2_1000, 0x2_2007n);
  bench.put(0x2_2000, 0x2_3007n);
  for (let page = 0; page < 64; page++) bench.put(0x2_3000 + 8 * page, BigInt(page * 4096) | 0x37n);
  bench.cpu.setU64(S.EPTP, 0x2_001en | (ad ? FLAGS : 0n));
  return { bench, ept: (page) => 0x2_3000 + 8 * page };
}
const TABLE_PAGE = PML4 / 4096;

/** kvm-unit-tests x86/vmx_tests.c, "ept_access_test_paddr_*": what the page of a guest paging entry permits. */
const GUEST_TABLES = [
  ['not present, EPT flags off', false, 0n, 0, 0x81n],
  ['not present, EPT flags on', true, 0n, 0, 0x83n],
  ['read-only, flags of the guest to be set', false, 1n, 0, 0x8bn],
  ['read-only, EPT flags on: every access is a write', true, 1n, 0x20, 0x8bn],
] as const;
for (const [what, ad, rights, guestFlags, qualification] of GUEST_TABLES) {
  test(`the page of a guest paging structure is ${what}: qualification ${qualification.toString(16)}`, () => {
    const { bench, ept } = nested(ad);
    bench.memory.write(PML4, 4, (PML4 + 0x1000) | 7 | guestFlags);
    bench.put(ept(TABLE_PAGE), rights === 0n ? 0n : BigInt(PML4) | 0x30n | rights);
    const out = new Walk();
    walk(bench.cpu, 0x5000n, 0, out);
    assert.equal(out.fault, FAULT.ept_violation);
    assert.equal(out.qualification, qualification);
    assert.equal(out.faultGpa, PML4);
  });
}

test('a read-only page holds a guest paging structure whose accessed flags are set: it can be read', () => {
  const { bench, ept } = nested(false);
  bench.memory.write(PML4, 4, bench.memory.read(PML4, 4) | 0x20);
  bench.put(ept(TABLE_PAGE), BigInt(PML4) | 0x31n);
  const out = new Walk();
  walk(bench.cpu, 0x5000n, 0, out);
  assert.equal(out.fault, FAULT.none);
});

test('a page fault of the guest comes before a violation of its final address', () => {
  const { bench, ept } = nested(false);
  bench.put(ept(0x30), 0n);
  bench.memory.write(PML4 + 0x2000, 4, 0x85);
  const out = new Walk();
  walk(bench.cpu, 0x3_0000n, ACCESS.write | ACCESS.user, out);
  assert.equal(out.fault, FAULT.exception);
  assert.equal(out.errorCode, 7);
  walk(bench.cpu, 0x3_0000n, 0, out);
  assert.equal(out.fault, FAULT.ept_violation);
  assert.equal(out.qualification, 0x181n);
});

test('a later store needs a walk while EPT forbids writing, or has the dirty flag still to set', () => {
  const { bench, ept } = nested(true);
  const out = new Walk();
  bench.memory.write(PML4 + 0x2000, 4, 0xe7);
  walk(bench.cpu, 0x3_0000n, 0, out);
  assert.equal(out.writable, false, 'EPT dirty flag clear');
  walk(bench.cpu, 0x3_0000n, ACCESS.write, out);
  assert.equal(out.writable, true);
  bench.put(ept(0x30), 0x3_0035n);
  walk(bench.cpu, 0x3_0000n, 0, out);
  assert.equal(out.writable, false, 'EPT read-only');
});

test('PDPTEs: reserved bits 2:1, 8:5 and above the physical width raise #GP(0), and none is loaded then', () => {
  for (let bit = 1; bit < 64; bit++) {
    const bench = new Bench();
    bench.put(0x5000, 0x1001n, 0x2001n, 0x3001n | (1n << BigInt(bit)), 0n);
    const reserved = bit <= 2 || (bit >= 5 && bit <= 8) || bit >= skylake.physicalBits;
    assert.equal(
      faultOf(() => loadPdptes(bench.cpu, 0x5000n)),
      reserved ? '#GP(0)' : 'none',
      `bit ${bit}`,
    );
    assert.equal(bench.cpu.u64(S.PDPTE0), reserved ? 0n : 0x1001n);
  }
  const bench = new Bench();
  bench.put(0x5000, 0x1ffen);
  assert.equal(
    faultOf(() => loadPdptes(bench.cpu, 0x5000n)),
    'none',
    'an entry that is not present has no reserved bits',
  );
});
