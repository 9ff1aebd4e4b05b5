/** The monitor `ymir` exit by exit, against Ymir's own table of exits. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Stop } from '../../../engine/machine.js';
import { Bench, type Input } from './bench.js';
import { type Code, guest64, handle, ORIGIN, RESULT } from './code.js';

const BUDGET = 400_000;
const CPUID = [0x0f, 0xa2] as const;
const RDMSR = [0x0f, 0x32] as const;
const WRMSR = [0x0f, 0x30] as const;

function start(body: (code: Code) => void, inputs: readonly Input[] = []): { bench: Bench; stop: Stop } {
  const bench = new Bench('ymir', { image: guest64(body), flat: { address: ORIGIN, bits: 64 }, inputs });
  return { bench, stop: bench.run(BUDGET) };
}
function run(body: (code: Code) => void, inputs: readonly Input[] = []): Bench {
  const { bench, stop } = start(body, inputs);
  assert.equal(stop, 'exit', bench.console);
  assert.equal(bench.machine.exitStatus, 1, bench.console);
  return bench;
}
/** The run is over because the monitor gave up, and this is its first line. */
function aborts(body: (code: Code) => void): string {
  const { bench, stop } = start(body);
  assert.equal(stop, 'idle', bench.console);
  assert.match(bench.console, /=== vCPU Information ===/);
  return bench.console.split('\n')[0] ?? '';
}
const result = (bench: Bench, i = 0): number => bench.machine.memory.view.getUint32(RESULT + 4 * i, true);

const cpuid = (leaf: number, subleaf = 0): number[] => {
  const bench = run((code) =>
    code
      .mov('eax', leaf)
      .mov('ecx', subleaf)
      .raw(...CPUID)
      .storeSix(RESULT)
      .exit(0),
  );
  return [0, 1, 2, 3].map((i) => result(bench, i));
};

describe('CPUID under ymir', () => {
  it('leaf 0: the highest is 20h, the vendor is Ymir three times', () => {
    assert.deepEqual(cpuid(0), [0x20, 0x7269_6d59, 0x7269_6d59, 0x7269_6d59]);
  });

  it('leaf 1: the features of its table, of the host’s ECX PCID alone', () => {
    const [, , ecx = 0, edx] = cpuid(1);
    assert.equal(ecx & ~(1 << 17), 0);
    const names = [0, 1, 2, 3, 5, 6, 8, 11, 13, 15, 17, 24, 25, 26];
    assert.equal(
      edx,
      names.reduce((sum, bit) => sum + 2 ** bit, 0),
    );
  });

  it('leaves 6, 7 and D', () => {
    assert.deepEqual(cpuid(6), [0, 0, 0, 0]);
    const [eax, ebx] = cpuid(7);
    assert.deepEqual([eax, ebx], [1, (1 << 7) | (1 << 20) | (1 << 10)]);
    assert.deepEqual(cpuid(7, 2), [0, 0, 0, 0]);
    assert.deepEqual(cpuid(0xd, 1), [0, 0, 0, 0]);
    const [max] = cpuid(0x8000_0000);
    assert.equal(max, 0x8000_0001);
  });

  it('an unlisted leaf is zeros, and a warning', () => {
    const bench = run((code) =>
      code
        .mov('eax', 0x15)
        .raw(...CPUID)
        .storeSix(RESULT)
        .exit(0),
    );
    assert.deepEqual(
      [0, 1, 2, 3].map((i) => result(bench, i)),
      [0, 0, 0, 0],
    );
    assert.match(bench.console, /^\[WARN \] vmcpuid \| Unhandled CPUID: Leaf=0x15, Sub=0x0\n$/);
  });

  it('aborts for subleaves that it does not know', () => {
    assert.match(
      aborts((code) =>
        code
          .mov('eax', 7)
          .mov('ecx', 3)
          .raw(...CPUID),
      ),
      /^\[ERROR\] vmcpuid \| Unhandled/,
    );
    assert.match(
      aborts((code) =>
        code
          .mov('eax', 0xd)
          .mov('ecx', 0)
          .raw(...CPUID),
      ),
      /^\[ERROR\] vmcpuid \| Unhandled/,
    );
  });

  it('keeps the high halves of the registers', () => {
    const bench = run((code) => {
      code
        .raw(0x48, 0xbb, 1, 2, 3, 4, 5, 6, 7, 8)
        .mov('eax', 6)
        .raw(...CPUID);
      code.raw(0x48, 0x89, 0x1c, 0x25).word(RESULT).exit(0); // MOV [RESULT], RBX
    });
    assert.deepEqual([result(bench, 0), result(bench, 1)], [0, 0x0807_0605]);
  });
});

describe('MSRs under ymir', () => {
  const rdmsr = (msr: number): number[] => {
    const bench = run((code) =>
      code
        .mov('ecx', msr)
        .raw(...RDMSR)
        .storeSix(RESULT)
        .exit(0),
    );
    return [result(bench, 0), result(bench, 3)];
  };

  it('reads EFER and the bases; APIC_BASE is all ones', () => {
    assert.equal((rdmsr(0xc000_0080)[0] ?? 0) & 0x500, 0x500);
    assert.deepEqual(rdmsr(0x1b), [0xffff_ffff, 0xffff_ffff]);
    assert.deepEqual(rdmsr(0xc000_0100), [0, 0]);
  });

  it('keeps what is written, for those in VMCS and MSR areas', () => {
    for (const msr of [0xc000_0100, 0xc000_0101, 0xc000_0102]) {
      const bench = run((code) => {
        code
          .mov('ecx', msr)
          .mov('eax', 0x1234_5678)
          .mov('edx', 0x7f)
          .raw(...WRMSR);
        code
          .mov('eax', 0)
          .mov('edx', 0)
          .raw(...RDMSR)
          .storeSix(RESULT)
          .exit(0);
      });
      assert.deepEqual([result(bench, 0), result(bench, 3)], [0x1234_5678, 0x7f], msr.toString(16));
    }
  });

  it('SYSCALL goes where the guest’s LSTAR says: the entry loads the area', () => {
    const bench = run((code) => {
      code.mov('ecx', 0xc000_0080).raw(...RDMSR, 0x83, 0xc8, 1, ...WRMSR); // EFER.SCE
      code
        .mov('ecx', 0xc000_0081)
        .mov('eax', 0)
        .mov('edx', 0x0010_0008)
        .raw(...WRMSR); // STAR
      const target = code.here + 5 + 5 + 5 + 2 + 2 + 10;
      code
        .mov('ecx', 0xc000_0082)
        .mov('eax', target)
        .mov('edx', 0)
        .raw(...WRMSR, 0x0f, 0x05)
        .exit(1)
        .raw(0x90, 0x90, 0x90);
      code.mov('eax', 0x600d).store('eax', RESULT).exit(0);
    });
    assert.equal(result(bench), 0x600d);
  });

  it('aborts for any other', () => {
    assert.match(
      aborts((code) => code.mov('ecx', 0x10).raw(...RDMSR)),
      /^\[ERROR\] vmmsr {3}\| Unhandled RDMSR: 0x10/,
    );
    assert.match(
      aborts((code) => code.mov('ecx', 0x277).raw(...WRMSR)),
      /^\[ERROR\] vmmsr {3}\| Unhandled WRMSR: 0x277/,
    );
  });
});

describe('control registers under ymir', () => {
  it('the guest reads what it wrote; bits that VMX fixes are hidden', () => {
    const bench = run((code) => {
      code
        .movFromCr(0)
        .store('eax', RESULT)
        .movFromCr(4)
        .store('eax', RESULT + 4);
      code
        .movFromCr(4)
        .raw(0x0d)
        .word(0x80)
        .movToCr(4)
        .movFromCr(4)
        .store('eax', RESULT + 8);
      code
        .movFromCr(3)
        .movToCr(3)
        .movFromCr(3)
        .store('eax', RESULT + 12)
        .exit(0);
    });
    assert.equal(result(bench, 0), 0x8000_0011, 'no NE');
    assert.equal(result(bench, 1), 0x20, 'no VMXE');
    assert.equal(result(bench, 2), 0xa0);
    assert.ok(result(bench, 3) >= 0x1000 && result(bench, 3) % 4096 === 0);
    assert.equal(bench.count('invvpid'), 1);
  });

  it('aborts for CLTS', () => {
    assert.match(
      aborts((code) => code.movFromCr(0).raw(0x0d).word(8).movToCr(0).raw(0x0f, 0x06)),
      /^\[ERROR\] cr {6}\| /,
    );
  });
});

describe('I/O ports under ymir', () => {
  it('overwrite all of RAX, or leave it, as the table says', () => {
    const bench = run((code) => {
      const probe = (i: number, port: number): void => {
        code.raw(0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8).mov('edx', port).raw(0xec); // MOV RAX, imm64; IN AL, DX
        code.raw(0x48, 0x89, 0x04, 0x25).word(RESULT + 8 * i);
      };
      probe(0, 0x64);
      probe(1, 0x80);
      probe(2, 0x3fd);
      probe(3, 0xcfc);
      probe(4, 0x3fb);
      code.exit(0);
    });
    const rax = (i: number): number[] => [result(bench, 2 * i), result(bench, 2 * i + 1)];
    assert.deepEqual(rax(0), [0, 0]);
    assert.deepEqual(rax(1), [0x0403_0201, 0x0807_0605]);
    assert.deepEqual(rax(2), [0x60, 0], 'the host’s line status');
    assert.deepEqual(rax(3), [0, 0]);
    assert.deepEqual(rax(4), [0, 0]);
  });

  it('abort for ports that nobody has, and for commands that its PIC does not know', () => {
    assert.match(
      aborts((code) => code.mov('edx', 0x1234).raw(0xec)),
      /vmio {4}\| Unhandled I\/O-in port: 0x1234/,
    );
    assert.match(
      aborts((code) => code.mov('edx', 0x1234).raw(0xee)),
      /vmio {4}\| Unhandled I\/O-out port: 0x1234/,
    );
    assert.match(
      aborts((code) => code.out8(0x20, 0x20)),
      /vmio {4}\| Unhandled I\/O-out port: 0x20/,
    );
  });
});

describe('what ymir cannot handle', () => {
  it('is logged with its name, and the machine stands still', () => {
    assert.match(
      aborts((code) => code.raw(0x0f, 0x08)),
      /^\[ERROR\] vmx {5}\| Unhandled VM-exit: reason=INVD$/,
    );
    assert.match(
      aborts((code) => code.mov('eax', 0).raw(0x0f, 0x00, 0xd8)),
      /^\[ERROR\] vmx {5}\| Exception: 0x0000000080000B0D$/,
    );
  });

  it('memory beyond the guest’s: an EPT violation with qualification and addresses', () => {
    const line = aborts((code) => code.store('eax', 0x6400_0000));
    assert.match(
      line,
      /^\[ERROR\] ept {5}\| EPT violation: qualification=0x0000000000000182, GLA=0x0000000064000000, GPA=0x0000000064000000$/,
    );
  });
});

describe('interrupts under ymir', () => {
  const VECTORS = 0x30;
  /** The guest's own controllers: Ymir's emulation takes ICW1 11h and specific EOIs only. */
  const programPic = (code: Code, mask: number): void => {
    code.out8(0x20, 0x11).out8(0x21, VECTORS).out8(0x21, 4).out8(0x21, 1).out8(0x21, mask);
  };
  const STI_HLT = [0xfb, 0xf4] as const;

  it('a byte on COM1 wakes HLT and reaches the guest at its own vector', () => {
    const inputs = [
      { tick: 20_000, port: 'com1', text: 'A' },
      { tick: 60_000, port: 'com1', text: 'B' },
    ];
    const bench = run((code) => {
      handle(code, VECTORS + 4, (handler) => {
        handler.mov('edx', 0x3f8).raw(0xec); // IN AL, DX
        handler.raw(0x88, 0x04, 0x25).word(RESULT); // MOV [RESULT], AL
        handler.raw(0xff, 0x04, 0x25).word(RESULT + 4); // INC dword [RESULT + 4]
        handler.out8(0x20, 0x64);
      });
      programPic(code, 0xef);
      code.raw(...STI_HLT, ...STI_HLT, 0xfa).exit(0);
    }, inputs);
    assert.equal(result(bench, 0) & 0xff, 0x42);
    assert.equal(result(bench, 1), 2);
    const injected = bench.events.filter(({ kind, fields }) => kind === 'entry' && fields.intr_info !== undefined);
    assert.deepEqual(
      injected.map(({ fields }) => fields.intr_info),
      [0x8000_0034n, 0x8000_0034n],
    );
    const own = bench.events.filter(({ kind, from }) => kind === 'irq' && from === 0);
    assert.deepEqual(
      own.map(({ fields }) => fields.code),
      [0x24n, 0x24n],
      'the host’s own handler first',
    );
  });

  it('the timer is the guest’s to program, and interrupts it while it runs', () => {
    const bench = run((code) => {
      handle(code, VECTORS, (handler) => {
        handler.raw(0xff, 0x04, 0x25).word(RESULT).out8(0x20, 0x60);
      });
      programPic(code, 0xfe);
      code.out8(0x43, 0x34).out8(0x40, 20).out8(0x40, 0);
      code.raw(0xfb);
      // CMP dword [RESULT], 3; JB back
      code.raw(0x83, 0x3c, 0x25).word(RESULT).raw(3, 0x72, 0xf6);
      code.raw(0xfa).exit(0);
    });
    assert.equal(result(bench), 3);
    assert.ok(bench.events.some(({ kind, fields }) => kind === 'exit' && fields.reason === 1n));
    assert.equal(bench.events.filter(({ kind, fields }) => kind === 'exit' && fields.code === 0x40n).length, 0);
  });

  it('a masked line stays pending; HLT with nothing to come stands still', () => {
    const { bench, stop } = start(
      (code) => {
        programPic(code, 0xff);
        code.raw(...STI_HLT).exit(0);
      },
      [{ tick: 20_000, port: 'com1', text: 'A' }],
    );
    assert.equal(stop, 'idle');
    assert.equal(bench.machine.exitStatus, null);
  });
});
