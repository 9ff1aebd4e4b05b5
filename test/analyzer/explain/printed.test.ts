/** An error of QEMU beside its advice or registers: what QEMU printed, and texts and programs that have both. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fieldOf } from '../../../analyzer/explain/dump.js';
import { findDumps } from '../../../analyzer/explain/find.js';
import { REGISTERS } from './helpers.js';

/** As target/i386/kvm/kvm.c prints them: the error ends its line, an empty one follows, and the advice begins its own. */
const ERROR = 'KVM: entry failed, hardware error 0x80000021';
const ADVICE = "If you're running a guest on an Intel machine without unrestricted mode";

const errors = (text: string): (number | bigint | null)[] =>
  findDumps(text)
    .map((dump) => fieldOf(dump, 'error.hardware'))
    .filter((error) => error !== null);

describe('no error of QEMU', () => {
  const TEXTS: { readonly [name: string]: string } = {
    'a sentence': `When you see ${ERROR} in the log and EAX=00000000 below\nit is a sign of big real mode.`,
    'one that a reader of mails broke':
      'When you see KVM: entry failed, hardware\nerror 0x80000021 in the log and\nEAX=00000000',
    'a manual': `The message "${ERROR}" is printed when an\nentry failed; QEMU then prints "${ADVICE}".`,
    'one in other lines': `The message "${ERROR}"\nis printed when an entry failed; QEMU then prints\n"${ADVICE}"`,
    'the names of changes': `- fix "${ERROR}" on boot\n- print EAX=00000000 in full`,
    'a table': `| message | meaning |\n|---|---|\n| ${ERROR} | ${ADVICE} |`,
    'a page of HTML': `<p>&quot;${ERROR}&quot; is what QEMU prints above &quot;${ADVICE}&quot;`,
    'a change of C': `+    fprintf(stderr, "${ERROR}\\n");\n+    fprintf(stderr, "${ADVICE}\\n");`,
    'a program of Python': `    print("${ERROR}")\n    print("${ADVICE}")`,
    'its strings': `msg += "${ERROR}\\n"\nmsg += "${ADVICE}\\n"`,
    'a macro': `#define FAILED "${ERROR}" \\\n  "${ADVICE}"`,
    'comments of C, one a line': `/* ${ERROR} */\n/* ${ADVICE} */`,
    'comments of HTML': `<!-- ${ERROR} -->\n<!-- ${ADVICE} -->`,
    'a pattern of Perl': `if (/${ERROR}/) { found() }\n/${ADVICE}/`,
    'a question': `Why ${ERROR} ?\n${REGISTERS}`,
    'a shell': `echo "${ERROR}"\necho "${ADVICE}"`,
    'a comment of C': `/*\n * ${ERROR}\n * ${ADVICE}\n */`,
    'one of C++': `// ${ERROR}\n// ${ADVICE}`,
    'a test that passed': `ok 2 - prints ${ERROR}\n# ${ADVICE}`,
    'brackets of a sentence': `Similar to bug 123 (${ERROR}) but I only have\n${REGISTERS}`,
    'what failed elsewhere': `My guest died like that of bug 123 (${ERROR}) but I only have\n${REGISTERS}`,
    'an error that is another': `This is similar to the error (${ERROR}) of 5.4, with\n${REGISTERS}`,
    'one that is seen elsewhere': `We got errors, see bug 12 (${ERROR}) for more, but I have\n${REGISTERS}`,
    'one of somebody else': `My guest exited like yours (${ERROR}) but I have\n${REGISTERS}`,
    'one that is similar': `I have a similar error (${ERROR}) but\n${REGISTERS}`,
    'what never happened': `My VM never crashed (${ERROR}) so far. Here are registers:\n\n${REGISTERS}`,
    'what has not happened': `It has not failed ("${ERROR}") since. Registers:\n\n${REGISTERS}`,
    'what has not, in short': `The guest hasn't died (${ERROR}) since 5.4, registers:\n\n${REGISTERS}`,
    'what would have happened': `# this would have failed (${ERROR}) on AMD\n\n${REGISTERS}`,
    'what happened before': `the old VM died (${ERROR}) before; this one does:\n\n${REGISTERS}`,
    'what does not happen any more': `It no longer fails: the error (${ERROR}) is gone\n\n${REGISTERS}`,
    'what a patch has mended': `Without the patch it crashed (${ERROR}) at boot, with it:\n\n${REGISTERS}`,
    'an "or" of a pattern': `filter: ${ERROR}|KVM internal error\n${REGISTERS}`,
    'one of several': `filter: (vmx|${ERROR}|foo)\n${REGISTERS}`,
    'a pattern of awk': `awk '/foo|${ERROR}|KVM internal error/' log\n${REGISTERS}`,
    'one of sed': `sed -e 's|${ERROR}|x|'\n${REGISTERS}`,
    'one of grep': `grep "${ERROR}" log\n${REGISTERS}`,
    'one of Python': `if re.match(r"foo|${ERROR}|KVM internal error", line):\n${REGISTERS}`,
    'words behind two blanks': `${ERROR}  this is what I saw once\n${REGISTERS}`,
    'words behind them on a day of one digit': `Nov  3 10:00:00 me: ${ERROR}  this is what I saw once\n${REGISTERS}`,
    'words behind a tab': `${ERROR}\tmeans invalid guest state\n${REGISTERS}`,
    'a list of patterns': `  /${ERROR}/,\n  /${ADVICE}/,`,
    'a sentence about a quote': `“${ERROR}” is what QEMU prints for it\n${REGISTERS}`,
    'one about a quote in a string': `{"text":"\\"${ERROR}\\" means that the state is invalid"}`,
    'what may happen': `A guest may die (${ERROR}) on a processor that is old`,
    'what can have happened': `The guest can have crashed (${ERROR}) before that`,
    'a sentence that goes on behind a quote': `“${ERROR}”, which`,
    'one about a quote in brackets': `The guest shows (“${ERROR}”) and stops`,
    'a question about a quote': `“${ERROR}”? That is`,
    'an answer to a quote': `“${ERROR}”: what does it mean`,
    'a quote with its full stop': `She wrote: “${ERROR}.”`,
    'a dashboard': `"expr": "{job=\\"libvirt\\"} |= \\"${ERROR}\\"",`,
    'a query': `"query": "msg:\\"${ERROR}\\""`,
    'a query of LogQL': `{job="libvirt"} |= "${ERROR}"`,
    'a query that is sent': `curl -G --data-urlencode "query={job=\\"x\\"} |= \\"${ERROR}\\"" http://loki`,
    'what a shell prints': `echo "x: \\"${ERROR}\\""`,
    'an alert of XML': `<Alert expr="msg=\\"${ERROR}\\"">`,
    'an alert of YAML': `- alert: x\n  expr: 'rate({m=\\"${ERROR}\\"}[5m])'`,
    'a test that passed, of JSON': `{"name":"\\"${ERROR}\\"","outcome":"passed"}`,
    'failures that are known': `Known failures (${ERROR}) when running Windows 98`,
    'errors that are explained': `common errors ("${ERROR}") are explained below`,
    'errors that are ignored': `errors (${ERROR}) can be ignored`,
    'what happens to guests': `VMs are killed (${ERROR}) when they start`,
    'what happens to a guest': `The VM is paused (${ERROR}) when it starts`,
    'what is prevented': `Prevents guests from being killed (${ERROR}) on old processors`,
    'what happens no more': `Guests go on instead of being killed (${ERROR}) when they start`,
    'what a patch mends': `This patch makes the failure (${ERROR}) go away`,
    'what is simulated': `simulates a failure (${ERROR}) for the test`,
    'no failure': `No failure (${ERROR}) was seen`,
    'no failures': `We saw no failures (${ERROR}) since`,
    'quotes in them': `This is not bug 123 ("${ERROR}" on every boot); my registers:\n\n${REGISTERS}`,
  };
  for (const [name, text] of Object.entries(TEXTS)) it(name, () => assert.deepEqual(errors(text), []));
});

describe('an error of QEMU', () => {
  const WRITERS: { readonly [name: string]: (line: string) => string } = {
    'of a value in quotes': (line) => `qemu up msg="${line}" vm=7`,
    'of a string of JSON': (line) => `{"host":"a","text":"qemu up ${line}","level":3}`,
    'of rsyslog': (line) => `qemu up ${line}#012`,
    'of HTML': (line) => `<span>qemu up ${line}</span>`,
    'in bold letters': (line) => `**${line}**`,
    'of a terminal': (line) => `qemu up ${line}^M`,
    'of a shell': (line) => `qemu up ${line}\\`,
    'of HTML in quotes': (line) => `<i title=&quot;qemu up ${line}&quot;`,
    'of XML': (line) => `qemu up ${line}&#10;`,
    'of XML in hexadecimal': (line) => `qemu up ${line}&#xA;`,
    'of quoted-printable, with a blank': (line) => `qemu up ${line}=20`,
    'of quoted-printable, with an end': (line) => `qemu up ${line}=0D=0A=`,
    'of a URL': (line) => `qemu up ${line}%0A`,
    'of Unicode': (line) => `qemu up ${line}\\u000a`,
    'of bytes': (line) => `qemu up ${line}\\x0a`,
    'of a shell, with a blank': (line) => `qemu up ${line} \\`,
    'of TeX': (line) => `qemu up ${line} \\\\`,
    'of bytes in octal': (line) => `qemu up ${line}\\012`,
    'of a string in a string': (line) => JSON.stringify({ log: `${JSON.stringify({ msg: `qemu up ${line}` })}\n` }),
    'of three of them': (line) =>
      JSON.stringify({ log: JSON.stringify({ log: JSON.stringify({ msg: `qemu up ${line}` }) }) }),
    'of a value that quotes it': (line) => `level=error msg="qemu up: \\"${line}\\"" host=h`,
    'of cat -A': (line) => `qemu up ${line}$`,
    'of cat -A, of Windows': (line) => `qemu up ${line}^M$`,
    'of a letter': (line) => `qemu up “${line}”`,
    'of one in French': (line) => `qemu up « ${line} »`,
    'with a byte that shows nothing': (line) => `qemu up ${line}\0`,
    'with a blank of no width': (line) => `qemu up ${line}\u200b`,
    'of an editor that shows ends': (line) => `qemu up ${line}¶`,
    'of one with arrows': (line) => `qemu up ${line} ↵`,
    'of one that shortens': (line) => `qemu up ${line}…`,
    'of values behind tabs': (line) => `10:00\t${line}\thost1`,
    'of columns': (line) => `10:00   ${line}   host1`,
    'of columns, the last of several words': (line) => `10:00   ${line}   three words here`,
    'of a last column': (line) => `${line.padEnd(80)}  host1  qemu`,
    'of values between bars': (line) => `10:00|qemu[1]: ${line}|host1`,
    'of a table without blanks': (line) => `|${line}|host1|`,
    'of a column that it fills': (line) => `10:00 ${line}|`,
    'of values between separators of ASCII': (line) => `10:00\x1f${line}\x1fhost1\x1e`,
    'of a table with broken bars': (line) => `10:00¦${line}¦host1`,
    'of tildes': (line) => `10:00~${line}~host1`,
    'of carets': (line) => `10:00^${line}^host1`,
    'with its host behind a dot': (line) => `qemu up ${line} · host1`,
    'with its host behind an at': (line) => `qemu up ${line} @host1`,
    'with its time behind a blank': (line) => `qemu up ${line} 1764487084`,
    'of a table of MySQL': (line) => `| ${line.padEnd(80)} |`,
    'of one of PostgreSQL': (line) => ` 10:00 | ${line.padEnd(80)} | host1`,
    'of its last column': (line) => ` ${line.padEnd(80)} | host1`,
    'of box drawing': (line) => `│ ${line.padEnd(80)} │`,
  };
  for (const [name, write] of Object.entries(WRITERS))
    it(name, () => {
      for (const between of ['', '\n'])
        assert.deepEqual(errors(`${write(ERROR)}\n${between}${write(ADVICE)}`), [0x8000_0021n]);
    });
  for (const [name, write] of Object.entries(WRITERS).filter(([name]) =>
    /tabs|column|between|a table|tildes|carets|its host|PostgreSQL|box/.test(name),
  ))
    it(`${name}, with the registers`, () => {
      const [dump, ...others] = findDumps(`${ERROR}\n${REGISTERS}`.trimEnd().split('\n').map(write).join('\n'));
      assert.deepEqual([dump && fieldOf(dump, 'error.hardware'), dump?.damage, others], [0x8000_0021n, [], []]);
    });
  it('alone, of strings and quotes', () => {
    for (const write of [
      (line: string) => JSON.stringify({ log: `${JSON.stringify({ level: 'error', msg: line })}\n`, stream: 'stderr' }),
      (line: string) => `level=error msg="qemu: \\"${line}\\"" host=h`,
      (line: string) => `“${line}”`,
    ])
      assert.deepEqual(errors(write(ERROR)), [0x8000_0021n]);
  });
  // Of 0x80000021 as zsh and editors mark a line that has no end, no part is an error.
  it('no part of its number', () => {
    for (const sign of ['\\', '%', '↩', ' \\', '¬', '$'])
      for (const at of [1, 3, 6, 9])
        assert.deepEqual(errors(`${ERROR.slice(0, at - 10)}${sign}\n${ERROR.slice(at - 10)}\n${REGISTERS}`), [], sign);
  });
  // Signs on both sides of the break, an empty line between, or what a log has behind each line.
  it('no part of its number, however it was broken', () => {
    for (const [behind, front, tail = ''] of [
      ['…', '…'],
      ['-', '-'],
      [' ↩', '↪ '],
      ['”', '“'],
      ['\u00ad', '\u00ad'],
      ['\u200b', '\u200b'],
      [' ·', '· '],
      ['⏎\n', ''],
      ['\0', ''],
      ['', '', ' host1'],
      ['', '', ' · host1'],
    ] as const)
      for (const at of [1, 3, 6]) {
        const lines = `${ERROR.slice(0, at - 8)}${behind}${tail}\n${front}${ERROR.slice(at - 8)}\n\n${REGISTERS}`;
        assert.deepEqual(errors(lines.replace(/(?<=\d|EDX=.*)$/gm, tail)), [], lines);
      }
  });
  // systemctl status and journalctl --no-full cut each line at the width of a terminal.
  it('no part of its number where programs cut lines', () => {
    for (const sign of ['…', '⋯', '...'])
      for (const at of [1, 3, 6])
        for (const front of ['', 'Nov 30 07:18:04 host1 qemu-system-x86_64[12345]: ']) {
          const width = front.length + ERROR.length - 8 + at;
          const cut = (line: string): string => (line.length > width ? line.slice(0, width) + sign : line);
          const lines = `${ERROR}\n\n${ADVICE}\n\n${REGISTERS}`.split('\n').map((line) => cut(front + line));
          assert.deepEqual(errors(lines.join('\n')), [], lines[0]);
        }
  });
  it('in a comment that has all of its lines', () => {
    for (const mark of [' * ', '// '])
      assert.deepEqual(errors(`${ERROR}\n\n${ADVICE}\n\n${REGISTERS}`.replace(/^/gm, mark)), [0x8000_0021n]);
  });
  // As OpenStack Nova, and libvirt, put what QEMU said in brackets behind what happened to the guest.
  it('in brackets behind what failed', () => {
    for (const [front, behind] of [
      ['ERROR nova.compute: guest died (', ') on node1'],
      ['FATAL: start of vm failed (', ') at boot'],
      ["vm 3 exited ('", "') and was restarted"],
      ['ERROR: guest stopped ("', '") after 3 s'],
      ['qemu crashed (', ') on host1'],
      ['qemu-kvm reported an error (', ') while starting vm 3'],
      ['ERROR nova.compute: instance died on node1.example.com (', ') and was restarted'],
      ['ERROR guest failed after 3.2 s (', ') on node1'],
      ['vm exited on 10.0.0.1 (', ') at boot'],
      ['libvirtd: error: looks like guest 3 died (', ') on node1'],
      ['error, see vm1.log (', ') for details'],
      ['libvirtd: error: could not start vm 3, qemu exited (', ') on node1'],
      ['guest 3 terminated (', ') on node1'],
      ['guest 3 aborted (', ') on node1'],
      ['guest 3 was killed (', ') on node1'],
      ['guest 3 shut down (', ') on node1'],
      ['ERR guest 3 (', ') on node1'],
    ] as const)
      for (const below of ['', `\n\n${REGISTERS}`])
        assert.deepEqual(errors(`${front}${ERROR}${behind}${below}`), [0x8000_0021n], front);
  });
});
