/** What every format says of two runs that are the same, that differ, and of which that cannot be told. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { call } from './process.js';

/** Exits as trace-cmd report prints them, and lines of its own, such as those that say that events were lost. */
function reportOf(parts: readonly string[]): string {
  let at = 0;
  return parts
    .flatMap((part) => {
      if (!/^[A-Z_]+$/.test(part)) return [part];
      const stamp = (): string => {
        at += 10;
        return `  qemu-1 [000] 1.${String(at).padStart(6, '0')}:`;
      };
      return [
        `${stamp()} kvm_exit: vcpu 0 reason ${part} rip 0x1000 info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0`,
        `${stamp()} kvm_entry: vcpu 0, rip 0x1000`,
      ];
    })
    .join('\n')
    .concat('\n');
}

const many = (reason: string, count: number): string[] => Array<string>(count).fill(reason);
const LOST = 'CPU:0 [36000 EVENTS DROPPED]';

// include/uapi/linux/kvm.h: KVM_EXIT_FAIL_ENTRY is 9
const FAILS = '  qemu-1 [000] 3.000000: kvm_userspace_exit: reason KVM_EXIT_FAIL_ENTRY (9)';
const RETURNS = '  qemu-1 [000] 3.000000: kvm_userspace_exit: reason KVM_EXIT_IO (2)';

/** Recordings, by name; the order of exits is that of a guest's phases. */
const RECORDINGS: { readonly [name: string]: readonly string[] } = {
  whole: [...many('CPUID', 50), ...many('HLT', 50), ...many('CPUID', 50)],
  more: [...many('CPUID', 50), ...many('HLT', 50), ...many('CPUID', 51)],
  // the hole is where the four are that the other has
  hole: [...many('CPUID', 50), ...many('HLT', 46), LOST, ...many('CPUID', 50)],
  // more of a reason than the other has, though events were lost: no hole explains that
  exceeds: [...many('CPUID', 50), ...many('HLT', 46), LOST, ...many('CPUID', 60)],
  // the last entry is one of which KVM told user space that it failed: there is no exit
  fails: [...many('CPUID', 50), ...many('HLT', 50), ...many('CPUID', 50), FAILS],
  'hole, fails': [...many('CPUID', 50), ...many('HLT', 46), LOST, ...many('CPUID', 50), FAILS],
  // the guest needs user space, which KVM tells: KVM_EXIT_IO is 2; a failed entry would be told so too
  tells: [...many('CPUID', 50), ...many('HLT', 50), ...many('CPUID', 50), RETURNS],
  // of other reasons altogether
  other: [...many('MSR_WRITE', 75), ...many('VMCALL', 75)],
  // any order of so few has as much in common
  short: ['CPUID', 'HLT', 'CPUID'],
  shorter: ['CPUID', 'HLT'],
  // of a text, a line that ends in its middle is damage
  damaged: [...many('CPUID', 50), ...many('HLT', 50), ...many('CPUID', 49), '  qemu-1 [000] 2.000000: kvm_exi'],
};

interface Case {
  readonly left: string;
  readonly right: string;
  readonly options?: readonly string[];
  /** 0, 1 or 2: docs/ci.md. */
  readonly code: number;
  /** What every format says, besides its outcome. */
  readonly says: readonly RegExp[];
  /** What none of them says. */
  readonly not?: RegExp;
}

const HOLE = /right: 36,000 events were lost, so its counts are lower bounds/;
const UNRELATED = /[Uu]nrelated runs/;
const FAILED = /entries that failed without an exit: none recorded on the left, 1 on the right/;
/** docs/ci.md: without kvm_userspace_exit the number of entries that failed without an exit is unknown, not zero. */
const UNSEEN =
  /(both|left|right): no kvm_userspace_exit was recorded, which alone tells that an entry failed without an exit: their number is unknown, so that this comparison would not see them/;
const SHORT = /too short to tell/;

const CASES: { readonly [says: string]: Case } = {
  same: { left: 'whole', right: 'whole', code: 0, says: [/150/, UNSEEN, /both: no kvm_userspace_exit/] },
  'the same exits, and failed entries that only one would tell': {
    left: 'whole',
    right: 'tells',
    code: 0,
    says: [UNSEEN, /left: no kvm_userspace_exit/],
    not: /(both|right): no kvm_userspace_exit/,
  },
  'the same of both, each of which would tell of failed entries': {
    left: 'tells',
    right: 'fails',
    code: 1,
    says: [FAILED],
    not: UNSEEN,
  },
  'a budget that rests on no failed entry': {
    left: 'whole',
    right: 'whole',
    options: ['--fail-on', 'exits.total <= baseline'],
    code: 0,
    says: [/150/],
    not: /kvm_userspace_exit/,
  },
  'one exit more': { left: 'whole', right: 'more', code: 1, says: [/150/] },
  'four exits fewer, which a hole may explain': { left: 'whole', right: 'hole', code: 2, says: [HOLE] },
  'the same of both, one of which has a hole': {
    left: 'whole',
    right: 'hole',
    options: ['--ignore', 'HLT'],
    code: 2,
    says: [HOLE],
  },
  'more exits of a reason, which no hole explains': {
    left: 'whole',
    right: 'exceeds',
    code: 1,
    says: [HOLE, /CPUID: at least 110 on the right, 100 on the left/],
  },
  'holes in both': { left: 'hole', right: 'exceeds', code: 2, says: [/left: 36,000 events were lost/, HOLE] },
  'a place that could not be read': {
    left: 'damaged',
    right: 'whole',
    code: 2,
    says: [/left: 1 place of its source could not be read/],
  },
  'an entry that failed without an exit': { left: 'whole', right: 'fails', code: 1, says: [FAILED] },
  'an entry of each that failed without an exit': { left: 'fails', right: 'fails', code: 0, says: [/no difference/] },
  'an entry that failed without an exit, and a hole': {
    left: 'whole',
    right: 'hole, fails',
    code: 1,
    says: [HOLE, FAILED, /at least 1 on the right, 0 on the left/],
  },
  'an entry that failed without an exit, which a hole may hide': {
    left: 'hole, fails',
    right: 'hole',
    code: 2,
    says: [/entries that failed without an exit: 1 on the left, none recorded on the right/],
  },
  'an entry that failed without an exit, and a budget on failed ones': {
    left: 'whole',
    right: 'fails',
    options: ['--fail-on', 'failed.total == 0'],
    code: 1,
    says: [FAILED],
  },
  'unrelated runs': { left: 'whole', right: 'other', code: 1, says: [UNRELATED] },
  'unrelated runs, and a budget that asks for no baseline': {
    left: 'whole',
    right: 'other',
    options: ['--fail-on', 'exits.total <= 150'],
    code: 0,
    says: [UNRELATED],
  },
  'unrelated runs, and a budget on the baseline': {
    left: 'whole',
    right: 'other',
    options: ['--fail-on', 'exits.total <= baseline'],
    code: 2,
    says: [UNRELATED, /no baseline/],
  },
  'unrelated runs, and a budget that is broken all the same': {
    left: 'whole',
    right: 'other',
    options: ['--fail-on', 'exits.MSR_WRITE <= baseline'],
    code: 1,
    says: [UNRELATED],
  },
  'runs too short to tell': { left: 'short', right: 'shorter', code: 1, says: [SHORT] },
  'runs too short to tell, and a budget': {
    left: 'short',
    right: 'shorter',
    options: ['--fail-on', 'exits.total <= baseline'],
    code: 0,
    says: [SHORT],
  },
  'a hole, and a budget that is broken all the same': {
    left: 'whole',
    right: 'hole',
    options: ['--fail-on', 'exits.total <= 100'],
    code: 1,
    says: [HOLE],
  },
};

/** What says in a format that a gate is kept, broken or undecided, by exit code. */
const OUTCOMES: { readonly [format: string]: readonly (readonly [RegExp, RegExp, RegExp])[] } = {
  json: [[/"outcome": "kept"/, /"outcome": "broken"/, /"outcome": "undecided"/]],
  markdown: [[/^### VM exits: ✅/, /^### VM exits: ❌/, /^### VM exits: ⚠️/]],
  junit: [[/failures="0" errors="0"/, /failures="1" errors="0"/, /failures="0" errors="1"/]],
  github: [[/^::notice /m, /^::error [^:]*title=(Exits differ|Budget broken)/m, /^::error [^:]*undecided/m]],
};

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'trapline-formats-'));
  for (const [name, parts] of Object.entries(RECORDINGS)) writeFileSync(join(folder, name), reportOf(parts));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Text without what a format escapes, broken over no lines. */
const plain = (text: string): string => text.replace(/\\(?=[!-/:-@[-`{-~])/g, '').replace(/\s+/g, ' ');

for (const [title, { left, right, options = [], code, says, not }] of Object.entries(CASES)) {
  describe(`diff: ${title}`, () => {
    const run = (format: string) =>
      call('diff', join(folder, left), join(folder, right), ...options, '--format', format);

    for (const format of ['text', ...Object.keys(OUTCOMES)]) {
      it(`is an answer in ${format}`, async () => {
        const { code: ended, out } = await run(format);
        assert.equal(ended, code, out);
        for (const pattern of says) assert.match(plain(out), pattern);
        if (not !== undefined) assert.doesNotMatch(plain(out), not);
        for (const outcomes of OUTCOMES[format] ?? []) {
          for (const [i, pattern] of outcomes.entries()) {
            if (i === code) assert.match(out, pattern);
            else if (i > 0) assert.doesNotMatch(out, pattern);
          }
        }
      });
    }

    it('tells JSON whether the recordings tell', async () => {
      const { undecided } = JSON.parse((await run('json')).out) as { undecided: string | null };
      if (options.includes('--fail-on')) return;
      assert.equal(undecided === null, code !== 2);
    });
  });
}

describe('diff: what checks rest on', () => {
  // 36,000 lost: at least 146 exits, of which at least 100 are CPUID, whatever is missing
  const budgets = ['exits.total >= 100', 'exits.CPUID <= 99', 'exits.HLT <= 50'];
  const run = async (format: string): Promise<string> => {
    const options = budgets.flatMap((budget) => ['--fail-on', budget]);
    return (await call('diff', join(folder, 'whole'), join(folder, 'hole'), ...options, '--format', format)).out;
  };
  /** Text without the references of XML to characters. */
  const unescaped = (xml: string): string => xml.replace(/&#(\d+);/g, (_, code) => String.fromCodePoint(Number(code)));

  for (const format of ['text', 'junit', 'github'])
    it(`is said of each in ${format}, whether it is kept, broken or undecided`, async () => {
      const { checks } = JSON.parse(await run('json')) as { checks: Record<'name' | 'outcome' | 'says', string>[] };
      assert.deepEqual(
        checks.map(({ outcome }) => outcome),
        ['kept', 'broken', 'undecided'],
      );
      const out = plain(unescaped(await run(format)));
      for (const { name, says } of checks) assert.ok(out.includes(`${name}: ${says}`), `${name}: ${says}\n${out}`);
    });
});

describe('diff: a run that cannot be read', () => {
  const run = (format: string) => call('diff', join(folder, 'whole'), join(folder, 'none <&"'), '--format', format);

  for (const [format, pattern] of Object.entries({
    markdown: /^### VM exits: ⚠️ undecided\n\n.*→.*none.*: .*ENOENT/,
    junit:
      /<testsuite [^>]*errors="1"[^>]*>\s*<testcase [^>]*>\s*<error [^>]*message="[^"]*ENOENT[^"]*none &#60;&#38;&#34;/,
    github: /^::error title=Runs not compared::.*ENOENT/,
  }))
    it(`is told to what reads ${format}, and to people`, async () => {
      const { code, out, err } = await run(format);
      assert.equal(code, 2);
      assert.match(out, pattern);
      assert.match(err, /^trapline: ENOENT/);
    });

  it('is a check that is undecided, as any other that JSON has', async () => {
    for (const options of [['--format', 'json'], ['--json']]) {
      const { code, out, err } = await call('diff', join(folder, 'whole'), join(folder, 'none'), ...options);
      assert.equal(code, 2);
      assert.match(err, /^trapline: ENOENT/);
      const { undecided, checks, ...rest } = JSON.parse(out);
      assert.match(undecided, /^ENOENT .*none/);
      assert.deepEqual([checks, rest], [[{ name: 'runs not compared', outcome: 'undecided', says: undecided }], {}]);
    }
  });

  it('is no answer in text', async () => {
    const { code, out, err } = await run('text');
    assert.deepEqual([code, out], [2, '']);
    assert.match(err, /^trapline: ENOENT/);
  });

  for (const format of Object.keys(OUTCOMES))
    it(`is told in ${format} of a file of budgets too`, async () => {
      const whole = join(folder, 'whole');
      const { code, out } = await call('diff', whole, whole, '--budget', join(folder, 'nope'), '--format', format);
      assert.equal(code, 2);
      assert.match(plain(out), /ENOENT.*nope/);
    });
});
