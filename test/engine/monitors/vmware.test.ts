/**
 * The monitor `vmware` with guests that each try one thing. Expectations: kvm-unit-tests x86/vmware_backdoors.c,
 * open-vm-tools, and the Intel SDM for what is no Backdoor call.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Bench, EPOCH } from './bench.js';
import { Code, enterRing3, guest64, ORIGIN, RESULT } from './code.js';
import { BUDGET, endedIn, endedWell, GP, MAGIC, PORT, result, run, six } from './vmware-guest.js';

/** A call with every register set. */
const call = (code: Code, ecx: number, more: { eax?: number; ebx?: number; port?: number } = {}): Code =>
  code
    .mov('eax', more.eax ?? MAGIC)
    .mov('ebx', more.ebx ?? 0xdead_beef)
    .mov('ecx', ecx)
    .mov('edx', more.port ?? PORT)
    .mov('esi', 0x5151)
    .mov('edi', 0xd1d1)
    .in32();

describe('the Backdoor as kvm-unit-tests asks for it', () => {
  for (const ring of [0, 3] as const) {
    const inRing = (body: (code: Code) => void) => (code: Code) => {
      if (ring === 3) enterRing3(code);
      body(code);
    };

    it(`ring ${ring}: GETVERSION gives the magic in EBX`, () => {
      const bench = run(inRing((code) => call(code, 0xffff_000a).storeSix(RESULT).exit(0)));
      // In ring 3 the exit port is denied, which ends the run in #GP after the result was stored.
      if (ring === 0) endedWell(bench);
      else endedIn(bench, GP);
      assert.deepEqual(six(bench), [6, MAGIC, 2, PORT, 0x5151, 0xd1d1]);
    });

    it(`ring ${ring}: an unknown command does not fault, and leaves EBX`, () => {
      const bench = run(inRing((code) => call(code, 0xffff_0fff).storeSix(RESULT).exit(0)));
      assert.deepEqual(six(bench), [0xffff_ffff, 0xdead_beef, 0xffff_0fff, PORT, 0x5151, 0xd1d1]);
    });

    it(`ring ${ring}: RDPMC of a pseudo counter does not fault`, () => {
      for (const index of [0x1_0000, 0x1_0001, 0x1_0002]) {
        const body = inRing((code) => code.mov('ecx', index).raw(0x0f, 0x33).store('eax', RESULT).exit(0));
        const bench = run(body);
        assert.ok(result(bench) > 0 && result(bench) < bench.machine.now);
      }
    });

    it(`ring ${ring}: RDPMC of any other counter is #GP`, () => {
      endedIn(run(inRing((code) => code.mov('ecx', 0x0fff).raw(0x0f, 0x33).exit(0))), GP);
    });
  }

  it('ring 3: any other port is #GP(0), exactly as without a monitor', () => {
    const bench = run((code) => {
      enterRing3(code);
      call(code, 10, { port: 0x1234 }).exit(0);
    });
    endedIn(bench, GP);
    assert.equal(bench.count('backdoor'), 0);
  });

  it('ring 0: other ports are no business of the monitor', () => {
    const bench = run((code) => call(code, 10, { port: 0x1234 }).storeSix(RESULT).exit(0));
    assert.equal(result(bench), 0xffff_ffff, 'nobody drives the bus');
    assert.equal(bench.count('exit'), 0);
  });
});

describe('forms of access', () => {
  it('the high half of RAX is cleared, that of untouched registers kept', () => {
    const bench = run((code) => {
      code.raw(0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8); // MOV RAX, imm64
      code.raw(0x48, 0x89, 0xc3, 0x48, 0x89, 0xc6); // MOV RBX, RAX; MOV RSI, RAX
      code.mov('eax', MAGIC).mov('ecx', 0xffff).mov('edx', PORT).in32();
      code.raw(0x48, 0x89, 0x04, 0x25).word(RESULT); // MOV [RESULT], RAX
      code
        .raw(0x48, 0x89, 0x1c, 0x25)
        .word(RESULT + 8)
        .exit(0);
    });
    assert.deepEqual([result(bench, 0), result(bench, 1)], [0xffff_ffff, 0]);
    assert.deepEqual([result(bench, 2), result(bench, 3)], [0x0403_0201, 0x0807_0605]);
  });

  it('OUT DX, EAX works like IN; bytes and words read all ones', () => {
    const bench = run((code) => {
      code.mov('eax', MAGIC).mov('ecx', 10).mov('edx', PORT).mov('ebx', 0).raw(0xef).storeSix(RESULT);
      code
        .mov('eax', MAGIC)
        .mov('ecx', 10)
        .mov('edx', PORT)
        .raw(0x66, 0xed)
        .store('eax', RESULT + 24);
      code
        .mov('eax', MAGIC)
        .mov('edx', PORT)
        .raw(0xec)
        .store('eax', RESULT + 28);
      code
        .mov('eax', MAGIC)
        .mov('edx', PORT + 1)
        .in32()
        .store('eax', RESULT + 32)
        .exit(0);
    });
    endedWell(bench);
    assert.deepEqual(six(bench).slice(0, 2), [6, MAGIC]);
    assert.deepEqual(
      [6, 7, 8].map((i) => result(bench, i)),
      [0x564d_ffff, 0x564d_58ff, 0xffff_ffff],
    );
    assert.equal(bench.count('backdoor'), 1);
  });

  it('REP INSB on the command port is #GP', () => {
    endedIn(
      run((code) => code.mov('ecx', 4).mov('edx', PORT).mov('edi', RESULT).raw(0xf3, 0x6c).exit(0)),
      GP,
    );
  });

  it('VMCALL with the magic is a call too; with another it is #UD', () => {
    const bench = run((code) => {
      code.mov('eax', MAGIC).mov('ebx', 0).mov('ecx', 10).mov('edx', 0).raw(0x0f, 0x01, 0xc1).storeSix(RESULT).exit(0);
    });
    endedWell(bench);
    assert.deepEqual(six(bench).slice(0, 3), [6, MAGIC, 2]);
    endedIn(
      run((code) => code.mov('eax', 0x1234_5678).raw(0x0f, 0x01, 0xc1).exit(0)),
      6,
    );
  });

  it('tells time and memory of this machine', () => {
    const bench = run((code) => {
      call(code, 23).storeSix(RESULT);
      call(code, 20).store('eax', RESULT + 24);
      call(code, 45, { ebx: 0xffff_ffff })
        .storeSix(RESULT + 32)
        .exit(0);
    });
    assert.equal(result(bench, 0), EPOCH);
    assert.ok(result(bench, 1) < 1_000_000);
    assert.equal(result(bench, 6), 16, 'MiB');
    const { tscPerTick } = bench.machine.configuration.model;
    assert.equal(result(bench, 9) * 2 ** 32 + result(bench, 8), 1e9 * tscPerTick);
  });
});

describe('the processor that the guest sees', () => {
  const cpuid = (leaf: number): Bench =>
    run((code) => code.mov('eax', leaf).mov('ecx', 0).raw(0x0f, 0xa2).storeSix(RESULT).exit(0));

  it('CPUID: a hypervisor, VMware, the Backdoor by VMCALL, no VMX', () => {
    const [, , features = 0] = six(cpuid(1));
    assert.equal(features >>> 31, 1);
    assert.equal((features >>> 5) & 1, 0);
    const [max, b = 0, c = 0, d = 0] = six(cpuid(0x4000_0000));
    assert.equal(max, 0x4000_0010);
    const text = String.fromCharCode(...new Uint8Array(Uint32Array.of(b, c, d).buffer));
    assert.equal(text, 'VMwareVMware');
    const [kHz = 0, , interfaces = 0] = six(cpuid(0x4000_0010));
    assert.equal(kHz, cpuid(0).machine.configuration.model.tscPerTick * 1_000_000);
    assert.equal(interfaces & 3, 2);
    assert.deepEqual(six(cpuid(0x4000_0005)).slice(0, 4), [0, 0, 0, 0]);
  });

  it('VMX is not there: CR4.VMXE is #GP, VMXON is #UD, its MSRs are #GP', () => {
    endedIn(
      run((code) => code.movFromCr(4).raw(0x0d).word(0x2000).movToCr(4).exit(0)),
      GP,
    );
    endedIn(
      run((code) => code.raw(0xf3, 0x0f, 0xc7, 0x34, 0x25).word(RESULT).exit(0)),
      6,
    );
    for (const msr of [0x3a, 0x480, 0x48f, 0x2000]) {
      endedIn(
        run((code) => code.mov('ecx', msr).raw(0x0f, 0x32).exit(0)),
        GP,
      );
    }
    const bench = run((code) => code.movFromCr(4).store('eax', RESULT).exit(0));
    assert.equal(result(bench) & 0x2000, 0, 'the guest does not see CR4.VMXE');
  });

  it('CR0.NE is the guest’s to set and to see', () => {
    const bench = run((code) => {
      code
        .movFromCr(0)
        .store('eax', RESULT)
        .raw(0x83, 0xc8, 0x20)
        .movToCr(0)
        .movFromCr(0)
        .store('eax', RESULT + 4);
      code
        .raw(0x83, 0xe0, 0xdf)
        .movToCr(0)
        .movFromCr(0)
        .store('eax', RESULT + 8)
        .exit(0);
    });
    endedWell(bench);
    assert.deepEqual(
      [0, 1, 2].map((i) => result(bench, i) & 0x20),
      [0, 0x20, 0],
    );
    const invalid = run((code) => code.mov('eax', 0xa000_0031).movToCr(0).exit(0));
    endedIn(invalid, GP);
  });

  it('other MSRs need no exit', () => {
    const bench = run((code) => {
      code.mov('ecx', 0xc000_0080).raw(0x0f, 0x32).store('eax', RESULT).exit(0);
    });
    assert.equal(result(bench) & 0x500, 0x500);
    assert.equal(bench.count('exit'), 0);
  });

  it('memory that is not there stops the machine with one line that says where', () => {
    const bench = new Bench('vmware', {
      image: guest64((code) => code.store('eax', 0x7000_0000).exit(0)),
      flat: { address: ORIGIN, bits: 64 },
    });
    assert.equal(bench.run(BUDGET), 'idle');
    assert.match(
      bench.console,
      /^\[ERROR\] vmware {2}\| Unhandled VM-exit: reason=EPT_VIOLATION rip=0x101[0-9a-f]{3} /,
    );
  });
});

describe('16-bit and 32-bit guests', () => {
  it('real mode: the Backdoor answers in a boot sector', () => {
    const sector = new Uint8Array(512);
    const code = [
      ...[0x66, 0xb8, 0x68, 0x58, 0x4d, 0x56], // MOV EAX, magic
      ...[0x66, 0xb9, 10, 0, 0xff, 0xff, 0xba, 0x58, 0x56], // MOV ECX, GETVERSION; MOV DX, port
      ...[0x66, 0xed, 0x66, 0xe7, 0xf4], // IN EAX, DX; OUT F4h, EAX
    ];
    sector.set(code);
    sector.set([0x55, 0xaa], 510);
    const bench = new Bench('vmware', { image: sector });
    assert.equal(bench.run(BUDGET), 'exit');
    assert.equal(bench.machine.exitStatus, 2 * 6 + 1);
  });

  it('protected mode without paging: a flat 32-bit image', () => {
    const code = new Code(ORIGIN);
    code.mov('eax', MAGIC).mov('ecx', 10).mov('edx', PORT).in32().raw(0xe7, 0xf4);
    const bench = new Bench('vmware', {
      image: Uint8Array.from(code.bytes),
      flat: { address: ORIGIN, bits: 32 },
    });
    assert.equal(bench.run(BUDGET), 'exit');
    assert.equal(bench.machine.exitStatus, 2 * 6 + 1);
  });
});
