import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { Details } from '../../analyzer/detail.js';
import { readTimeline } from '../../analyzer/timeline.js';
import type { Detail } from '../../analyzer/timeline-answers.js';
import { EVENT_KINDS } from '../../engine/observer.js';
import { codeDomain } from '../../traces/codes.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { REGISTERS } from '../../traces/schema.js';
import type { Row, TraceReader, TraceWriter } from '../../traces/store.js';
import { random } from '../web/synthetic.js';

const folder = mkdtempSync(join(tmpdir(), 'trapline-detail-'));
const readers: TraceReader[] = [];
after(() => {
  for (const reader of readers) reader.close();
  rmSync(folder, { recursive: true, force: true });
});

let made = 0;
async function detailsOf(write: (writer: TraceWriter) => void): Promise<Details> {
  const path = join(folder, `${made++}.arrow`);
  const writer = createTrace(path);
  write(writer);
  writer.finish();
  const reader = openTrace(path);
  readers.push(reader);
  return new Details(reader, await readTimeline(reader, 'made'));
}

/** An exit by itself, decoded: name and value of what its bits say. */
async function decoded(row: Row): Promise<{ [name: string]: string }> {
  const base = { seq: 0, tick: 0, vcpu: 0, kind: EVENT_KINDS.exit, from_level: 1, to_level: 0 };
  const details = await detailsOf((writer) => writer.table('event').row({ ...base, ...row }));
  return Object.fromEntries((await details.of(0))?.decoded.map(({ name, value }) => [name, value]) ?? []);
}

describe('exit information', () => {
  // Intel SDM volume 3C, "Basic VM-Exit Information": tables "Exit Qualification for ..."
  it('of VMX follows the tables of the manual', async () => {
    // I/O: bits 2:0 size, 3 direction, 4 string, 5 REP, 31:16 port. REP OUTSB to port 3F8H
    assert.deepEqual(await decoded({ isa: 1, reason: 30, qualification: 0x03f8_0030 }), {
      port: '0x3f8',
      direction: 'OUT',
      size: '1 byte',
      string: 'yes',
      REP: 'yes',
      operand: 'DX',
    });
    // IN EAX, 71H: size 3, direction 1, immediate operand (bit 6)
    assert.deepEqual(await decoded({ isa: 1, reason: 30, qualification: 0x0071_004b }), {
      port: '0x71',
      direction: 'IN',
      size: '4 bytes',
      operand: 'immediate',
    });
    // control register: 3:0 number, 5:4 access, 11:8 register. MOV RBP, CR8
    assert.deepEqual(await decoded({ isa: 1, reason: 28, qualification: 0x518 }), {
      'control register': 'CR8',
      access: 'MOV from CR',
      register: 'RBP',
    });
    // 11:8 "For CLTS and LMSW, cleared to 0", 6 and 31:16 "For CLTS and MOV CR, cleared to 0": CLTS; LMSW of 1234H in memory
    const CR0 = { 'control register': 'CR0' };
    assert.deepEqual(await decoded({ isa: 1, reason: 28, qualification: 0x20 }), { ...CR0, access: 'CLTS' });
    assert.deepEqual(await decoded({ isa: 1, reason: 28, qualification: 0x1234_0070 }), {
      ...CR0,
      access: 'LMSW',
      'LMSW operand': 'memory',
      'LMSW source': '0x1234',
    });
    // EPT violation: a write to a page that is readable and executable, of the translation of a linear address
    assert.deepEqual(await decoded({ isa: 1, reason: 48, qualification: 0x1aa }), {
      write: 'yes',
      'EPT: readable': 'yes',
      'EPT: executable': 'yes',
      'linear address valid': 'yes',
      'access was': 'to the translation',
    });
    // interruption information: 7:0 vector, 10:8 type, 11 error code, 31 valid. #GP
    assert.deepEqual(await decoded({ isa: 1, reason: 0, intr_info: 0x8000_0b0d }), {
      vector: '0xd',
      type: 'hardware exception',
      'error code': 'yes',
      valid: 'yes',
    });
    // and with FRED 13: a nested exception, of the event that exits as of that whose delivery was interrupted
    const nested = { vector: '0xe', type: 'hardware exception', 'error code': 'yes', 'nested exception': 'yes' };
    assert.deepEqual(await decoded({ isa: 1, reason: 0, intr_info: 0x8000_2b0e }), { ...nested, valid: 'yes' });
    const both = await decoded({ isa: 1, reason: 48, info2: 0x8000_2b0e, intr_info: 0 });
    assert.deepEqual(both, { ...nested, valid: 'yes' });
    // IDT-vectoring information: the same but for bit 12, which is undefined. External interrupt ECh; none
    const vectoring = { vector: '0xec', type: 'external interrupt', valid: 'yes' };
    assert.deepEqual(await decoded({ isa: 1, reason: 0, info2: 0x8000_10ec, intr_info: 0 }), vectoring);
    assert.deepEqual(await decoded({ isa: 1, reason: 0, info2: 0, intr_info: 0 }), {});
    // Linux before 5.10 gave interruption information there, and no other word: which of them it is, is not said
    assert.deepEqual(await decoded({ isa: 1, reason: 1, info2: 0x8000_00f6 }), {});
  });

  // "Exit Qualification for APIC-Access VM Exits from Linear Accesses and Guest-Physical Accesses": 11:0 "the offset of
  // access within the APIC page. Undefined if ... due [to] a guest-physical access", 15:12 access type, 16 "set for
  // certain accesses that are asynchronous to instruction execution and not part of event delivery"
  it('of an APIC access: each access type, and the offset of linear ones', async () => {
    const access = (qualification: number): ReturnType<typeof decoded> =>
      decoded({ isa: 1, reason: 44, qualification });
    const types = { 0: 'read', 1: 'write', 2: 'instruction fetch', 3: 'event delivery', 4: 'monitoring' };
    for (const [type, says] of Object.entries(types))
      assert.deepEqual(await access((Number(type) << 12) | 0xb0), { 'offset in the APIC page': '0xb0', access: says });
    assert.deepEqual(await access(0xa0b0), { access: 'guest-physical, event delivery' });
    assert.deepEqual(await access(0x1_b0b0), {
      access: 'guest-physical, monitoring or trace',
      asynchronous: 'yes',
    });
    assert.deepEqual(await access(0xf000), { access: 'guest-physical, fetch or execution' });
  });

  // "Basic VM-Exit Information", exit qualification of a notify VM exit: 0 VM context invalid, 12 NMI unblocking due to IRET
  it('of a notify VM exit: whether the guest can go on, and how NMIs are blocked', async () => {
    const notify = (qualification: number): ReturnType<typeof decoded> =>
      decoded({ isa: 1, reason: 75, qualification });
    assert.deepEqual(await notify(0x0001), { 'VM context invalid': 'yes' });
    assert.deepEqual(await notify(0x1000), { 'NMI unblocking due to IRET': 'yes' });
    assert.deepEqual(await notify(0), {});
  });

  // AMD APM volume 2, 15.20: 7:0 vector, 10:8 type, 11 EV, 30:12 reserved, 31 V; 15.7.2: EXITINTINFO is the same
  it('EXITINTINFO has no bits that VMX alone has', async () => {
    assert.deepEqual(await decoded({ isa: 2, reason: 0x400, intr_info: 0x8000_3b0e }), {
      vector: '0xe',
      type: 'exception',
      'error code': 'yes',
      valid: 'yes',
    });
  });

  // AMD APM volume 2, "IOIO Intercept", "Nested versus Guest Page Faults", "MSR Intercepts"
  it('of SVM follows the tables of the manual', async () => {
    // IOIO: bit 0 type, 2 STR, 3 REP, 6:4 size, 9:7 address size, 12:10 segment, 31:16 port. IN AL, 3FDH
    const ioio = await decoded({ isa: 2, reason: 0x7b, qualification: 0x03fd_0211, info2: 0x1234 });
    assert.equal(ioio.port, '0x3fd');
    assert.equal(ioio.direction, 'IN');
    assert.equal(ioio.size, '1 byte');
    assert.equal(ioio['address size'], '64 bits');
    assert.equal(ioio.EXITINFO2, '0x1234');
    // INS and OUTS alone access memory: REP OUTSB to 3F8H from FS; the same digits without STR
    const segment = async (qualification: number): Promise<string | undefined> =>
      (await decoded({ isa: 2, reason: 0x7b, qualification })).segment;
    assert.deepEqual(
      [await segment(0x03f8_121c), await segment(0x03f8_0214), await segment(0x03f8_1210), ioio.segment],
      ['FS', 'ES', undefined, undefined],
    );
    assert.equal((await decoded({ isa: 2, reason: 0x7c, qualification: 1 })).direction, 'WRMSR');
    // NPF: error code with bit 32 (final address) or 33 (page walk)
    const npf = await decoded({ isa: 2, reason: 0x400, qualification: 0x1_0000_0006n, info2: 0xfee0_0000 });
    assert.deepEqual(npf, {
      page: 'not present',
      access: 'write',
      user: 'yes',
      'on the final address': 'yes',
      EXITINFO2: '0xfee00000',
    });
  });

  // AMD APM volume 2, "Decode Assists": EXITINFO1 63 "1 if the instruction was MOV CRx, 0 otherwise (CLTS, LMSW, or SMSW)", 3:0
  // GPR of MOV. QEMU's processor, which has none, gives 0 for `mov %rax, %cr4` as well
  it('of a control register of SVM: the register of MOV alone', async () => {
    const cr = (reason: number, qualification: bigint): ReturnType<typeof decoded> =>
      decoded({ isa: 2, reason, qualification });
    assert.deepEqual(await cr(0x13, 0x8000_0000_0000_000an), { register: 'R10', instruction: 'MOV CR' });
    for (const reason of [0x10, 0x14])
      assert.deepEqual(await cr(reason, 0n), { instruction: 'CLTS, LMSW, SMSW, or any without decode assists' });
  });

  // AMD APM volume 2, 15.14.1: EXITINFO1 15:0 "segment selector identifying the incoming TSS"; EXITINFO2 31:0 "error code to
  // push in the new task, if applicable; otherwise, this field is undefined", 36 IRET, 38 far JMP, 44 has an error code, 48
  // the EFLAGS.RF "that would be saved in the outgoing TSS"
  it('of a task switch of SVM: the TSS, what caused it, and the error code where there is one', async () => {
    const task = (info2: bigint): ReturnType<typeof decoded> =>
      decoded({ isa: 2, reason: 0x7d, qualification: 0x28, info2 });
    const TSS = { 'TSS selector': '0x28' };
    assert.deepEqual(await task(0x10_0000_1234n), { ...TSS, 'by IRET': 'yes' });
    assert.deepEqual(await task(0x40_0000_0000n), { ...TSS, 'by far JMP': 'yes' });
    assert.deepEqual(await task(0x1_1000_0000_0010n), {
      ...TSS,
      'has an error code': 'yes',
      'error code': '0x10',
      'RFLAGS.RF': 'yes',
    });
    assert.deepEqual(await task(0n), TSS);
  });

  // AMD APM volume 2, 15.29.9.1, tables 15-25 to 15-27: EXITINFO1 31:0 ICRL, 63:32 ICRH; EXITINFO2 63:32 ID, 11:0 index, "for
  // ID = 1-3 ... All other ID values reserved". 15.29.9.2, tables 15-28 and 15-29: EXITINFO1 11:4 offset, 32 write; EXITINFO2
  // 7:0 "vector for which EOI was attempted; otherwise undefined"
  it('of AVIC: the IPI and why it was not delivered, the register and how it was accessed', async () => {
    const index = { 'index in the APIC ID table': '0x103' };
    const causes = [
      { cause: 'invalid interrupt type' },
      { cause: 'IPI target not running', ...index },
      { cause: 'invalid target in IPI', ...index },
      { cause: 'invalid backing page pointer', ...index },
      { cause: 'invalid IPI vector' },
      { cause: 'unaccelerated IPI' },
    ];
    const ipi = { isa: 2, reason: 0x401, qualification: 0x0300_0000_0000_40fdn };
    const ICR = { 'ICR low': '0x40fd', 'ICR high': '0x3000000' };
    for (const [id, said] of causes.entries())
      assert.deepEqual(await decoded({ ...ipi, info2: (BigInt(id) << 32n) | 0x103n }), { ...ICR, ...said });
    assert.deepEqual(await decoded({ ...ipi, info2: 0 }), { ...ICR, ...causes[0] }, '0 is a cause as well');
    const access = { isa: 2, reason: 0x402 };
    assert.deepEqual(await decoded({ ...access, qualification: 0x1_0000_00b0n, info2: 0xec }), {
      'offset in the APIC page': '0xb0',
      access: 'write',
      'vector of an EOI (undefined of other registers)': '0xec',
    });
    assert.deepEqual(await decoded({ ...access, qualification: 0x390 }), {
      'offset in the APIC page': '0x390',
      access: 'read',
    });
  });

  it('is decoded by the architecture of the event, never by its number alone', async () => {
    assert.deepEqual(await decoded({ isa: 2, reason: 48, qualification: 0x1aa }), { register: 'R10' }); // a DR access on SVM
    assert.deepEqual(await decoded({ reason: 48, qualification: 0x1aa }), {});
  });
});

describe('registers as of an exit', () => {
  it('are rebuilt from what changed, for each vCPU', async () => {
    const next = random(77);
    const count = 20_000;
    const held = [0, 1, 2].map(() => new Map<string, bigint>());
    const expected = new Map<number, { readonly [name: string]: string | null }>();
    const probes = new Set([0, 1, 5, 8191, 8192, 8193, 16_384, 19_999]);
    const details = await detailsOf((writer) => {
      for (let seq = 0; seq < count; seq++) {
        const vcpu = Math.floor(next() * 3);
        const values = held[vcpu] ?? new Map<string, bigint>();
        writer
          .table('event')
          .row({ seq, tick: seq, vcpu, kind: EVENT_KINDS.exit, isa: 1, from_level: 1, to_level: 0, reason: 10 });
        const row: { [name: string]: number | bigint } = { seq };
        for (const name of REGISTERS) {
          if (name === 'r15' || next() > 0.05) continue; // r15 is never told
          const value = BigInt(Math.floor(next() * 2 ** 32)) << 31n;
          row[name] = value;
          values.set(name, value);
        }
        writer.table('register').row(row);
        if (!probes.has(seq)) continue;
        const entries = REGISTERS.map((name) => [name, values.get(name)?.toString(16).padStart(16, '0') ?? null]);
        expected.set(seq, Object.fromEntries(entries));
      }
    });
    for (const [seq, registers] of expected) {
      const found = (await details.of(seq))?.registers;
      if (Object.values(registers).every((value) => value === null)) assert.equal(found, null);
      else
        assert.deepEqual(Object.fromEntries(found?.map(({ name, value }) => [name, value]) ?? []), registers, `${seq}`);
    }
  });

  it('are unknown, not zero, where no exit told them', async () => {
    const details = await detailsOf((writer) => {
      writer.table('event').row({ seq: 0, tick: 0, vcpu: 0, kind: EVENT_KINDS.exit, isa: 1, reason: 10 });
    });
    assert.equal((await details.of(0))?.registers, null);
  });
});

describe('an event', () => {
  const exit = { kind: EVENT_KINDS.exit, isa: 1, vcpu: 0, from_level: 1, to_level: 0 } as const;

  it('is disassembled in each mode, and by default in that which the trace names', async () => {
    const code = { bytes: Uint8Array.of(0x48, 0x89, 0x07), rip: 0x1000 };
    const details = await detailsOf((writer) => {
      writer.table('event').row({ seq: 0, ...exit, reason: 48, ...code });
      writer.table('event').row({ seq: 1, ...exit, reason: 48, ...code, text: 'insn (prot32)' });
    });
    const first = await details.of(0);
    assert.deepEqual(first?.code?.bits, 64);
    const texts = Object.fromEntries(first.code.decodings.map(({ bits, text }) => [bits, text]));
    assert.deepEqual(texts, { 64: 'mov [rdi],rax', 32: 'dec eax', 16: 'dec ax' });
    assert.equal((await details.of(1))?.code?.bits, 32);
  });

  it('tells the chain of exits that it serves, and ends at a loop of a damaged trace', async () => {
    const details = await detailsOf((writer) => {
      const table = writer.table('event');
      table.row({ seq: 0, ...exit, from_level: 2, reason: 10 });
      table.row({ seq: 1, ...exit, reason: 25, parent: 0 });
      table.row({ seq: 2, vcpu: 0, kind: EVENT_KINDS.entry, from_level: 0, to_level: 1, parent: 1 });
      table.row({ seq: 3, ...exit, reason: 25, parent: 3 });
      table.row({ seq: 4, ...exit, reason: 25, parent: 9 });
    });
    const chain = async (seq: number): Promise<number[] | undefined> =>
      (await details.of(seq))?.parents.map((each) => each.seq);
    assert.deepEqual(await chain(2), [1, 0]);
    assert.deepEqual(await chain(0), []);
    assert.deepEqual(await chain(3), []);
    assert.deepEqual(await chain(4), []);
    assert.equal(await details.of(5), null);
  });

  it('tells the fields that a broken rule reads, and the write that gave each its value', async () => {
    // encodings of the manual's appendix "Field Encoding in VMCS": GUEST_RFLAGS 6820H, GUEST_INTERRUPTIBILITY_INFO 4824H
    const [rflags, blocking] = [0x6820, 0x4824];
    const details = await detailsOf((writer) => {
      writer.define(
        'check',
        1,
        'guest.interruptibility.sti_needs_if',
        'blocking by STI is indicated only with RFLAGS.IF',
      );
      const table = writer.table('event');
      const write = { vcpu: 0, kind: EVENT_KINDS.vmwrite, from_level: 0, vmcs: 0x1000 } as const;
      table.row({ seq: 0, ...write, code: rflags, old: 0, value: 2 });
      table.row({ seq: 1, ...exit, reason: 12, vmcs: 0x1000 });
      table.row({ seq: 2, ...write, code: blocking, old: 5, value: 1 });
      table.row({ seq: 3, ...write, vmcs: 0x2000, code: blocking, old: 0, value: 9 });
      table.row({ seq: 4, vcpu: 0, kind: EVENT_KINDS.check, from_level: 0, code: 1, vmcs: 0x1000 });
      table.row({
        seq: 5,
        vcpu: 0,
        kind: EVENT_KINDS.entry_failed,
        isa: 1,
        from_level: 0,
        reason: 0x8000_0021,
        vmcs: 0x1000,
      });
    });
    const [check] = (await details.of(5))?.checks ?? [];
    assert.match(check?.cites ?? '', /Non-Register State/);
    const fields = new Map(check?.fields.map((field) => [field.name, field]));
    const of = (name: string): unknown[] => {
      const field = fields.get(name);
      return [field?.value, field?.old, field?.by, field?.stale];
    };
    assert.deepEqual(of('GUEST_INTERRUPTIBILITY_INFO'), ['0x1', '0x5', 2, false], 'of the same VMCS');
    assert.deepEqual(of('GUEST_RFLAGS'), ['0x2', '0x0', 0, true], 'the exit since then may have saved another');
    assert.match(fields.get('GUEST_INTERRUPTIBILITY_INFO')?.says ?? '', /STI/);
  });

  it('tells the checks that a failed entry violated, and what was said', async () => {
    const details = await detailsOf((writer) => {
      writer.define('check', 7, 'guest.rflags.bit1', 'bit 1 of guest RFLAGS is 1');
      writer.define('check', 9, 'guest.gdtr.base', 'the guest GDTR base is canonical');
      const table = writer.table('event');
      const check = { vcpu: 0, kind: EVENT_KINDS.check, from_level: 0 } as const;
      table.row({ seq: 0, ...check, code: 9 });
      table.row({ seq: 1, ...exit, reason: 18 });
      table.row({ seq: 2, ...check, code: 7 });
      table.row({ seq: 3, ...check, code: 9 });
      table.row({
        seq: 4,
        vcpu: 0,
        kind: EVENT_KINDS.entry_failed,
        isa: 1,
        from_level: 0,
        to_level: 0,
        reason: 0x8000_0021,
      });
      table.row({ seq: 5, vcpu: 0, kind: EVENT_KINDS.vmfail, isa: 1, from_level: 0, code: 7 });
      const body = Uint8Array.from(Buffer.from('info-get guestinfo.x'));
      writer.table('message').row({ seq: 1, vcpu: 0, protocol: 'rpci', channel: 3, direction: 0, body });
    });
    const failed = await details.of(4);
    assert.deepEqual(
      failed?.checks.map(({ id }) => id),
      ['guest.rflags.bit1', 'guest.gdtr.base'],
    );
    assert.equal(failed?.checks[0]?.says, 'bit 1 of guest RFLAGS is 1');
    const said: Detail | null = await details.of(1);
    assert.deepEqual(said?.checks, []);
    assert.equal(said?.messages[0]?.value, 'info-get guestinfo.x');
    // Intel SDM volume 3C, "VM Instruction Error Numbers"
    const fail = await details.of(5);
    assert.match(fail?.fields.find(({ name }) => name === 'code')?.says ?? '', /invalid control field/);
  });
});

describe('an event of another tool', () => {
  it('has the dictionary of its kind for its code', () => {
    const kinds = ['vmread', 'vmwrite', 'check', 'msr', 'userspace_exit', 'other', 'vmgexit', 'apic', 'io'] as const;
    assert.deepEqual(
      kinds.map((kind) => codeDomain(EVENT_KINDS[kind])),
      ['field', 'field', 'check', 'msr', 'kvm_exit', 'event', 'reason.svm', 'apic', null],
    );
  });

  it('is named by its tracepoint, its flags and its code', async () => {
    const details = await detailsOf((writer) => {
      writer.define('event', 7, 'kvm_avic_unaccelerated_access');
      writer.define('apic', 0x80, 'APIC_TASKPRI');
      writer
        .table('event')
        .row({ seq: 0, vcpu: 0, time_ns: 1n, kind: EVENT_KINDS.apic, tracepoint: 7, code: 0x80n, flags: 33 });
    });
    const detail = await details.of(0);
    assert.equal(detail?.title, 'apic APIC_TASKPRI kvm_avic_unaccelerated_access');
    const says = Object.fromEntries(detail.fields.map((field) => [field.name, field.says]));
    assert.deepEqual(
      [says.tracepoint, says.code, says.flags],
      ['kvm_avic_unaccelerated_access', 'APIC_TASKPRI', 'write, on'],
    );
  });
});
