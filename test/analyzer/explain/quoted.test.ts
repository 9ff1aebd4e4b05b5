/** Quoted-printable mail gives what the plain text gives. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDumps } from '../../../analyzer/explain/find.js';
import { unquoted } from '../../../analyzer/explain/quoted.js';
import { broken, fixture, only } from './helpers.js';

/** RFC 2045: `=` is `=3D`, and no line is longer than 76 characters. */
function quoted(text: string, width = 76): string {
  const wrap = (line: string): string => {
    const parts: string[] = [];
    let rest = line;
    while (rest.length > width) {
      const cut = rest.lastIndexOf('=', width - 1);
      const at = cut > width - 4 ? cut : width - 1;
      parts.push(`${rest.slice(0, at)}=`);
      rest = rest.slice(at);
    }
    return [...parts, rest].join('\n');
  };
  return text.replaceAll('=', '=3D').split('\n').map(wrap).join('\n');
}

const values = (text: string): [string, bigint][] =>
  findDumps(text).flatMap(({ values: of }) => [...of].map(([name, { value }]): [string, bigint] => [name, value]));

const texts = (text: string): string[] => [...unquoted(text)].map((line) => line.text);

describe('quoted-printable', () => {
  for (const name of ['vmx-two-faults', 'vmx-pdpte', 'vmx-injection']) {
    const plain = fixture(name);
    it(`${name}: with soft breaks, without them, behind headers of a mail`, () => {
      const headers = 'Message-ID: <a=b@c>\nContent-Type: text/plain; charset=UTF-8\n';
      for (const text of [
        quoted(plain),
        quoted(plain, 10_000),
        headers + quoted(plain),
        quoted(plain).replaceAll('\n', '\r\n'),
      ])
        assert.deepEqual(values(text), values(plain));
    });
    it(`${name}: lines keep their numbers`, () => {
      const text = quoted(plain);
      const lines = text.split('\n');
      for (const [field, { line }] of findDumps(text)[0]?.values ?? [])
        if (field === 'GUEST_TR_AR_BYTES') assert.match(lines[line - 1] ?? '', /TR:/);
    });
  }
  it('finds what is violated', () => {
    assert.deepEqual(broken(only(quoted(fixture('vmx-two-faults')))), ['guest.gdtr.base', 'guest.tr.s']);
  });
  it('also without the header of the mail, where characters beyond ASCII stand in front', () => {
    const plain = fixture('vmx-two-faults').trimEnd();
    const elided = plain.replace(/^\[ *[0-9.]+\]/gm, '[…]');
    assert.deepEqual(values(quoted(elided, 10_000).replaceAll('…', '=E2=80=A6')), values(elided));
  });
  // dump_vmcb of KVM prints no sign of equality, so that a mail of it has soft breaks and nothing else
  it('also where it has soft breaks alone, of the length that RFC 2045 allows', () => {
    const plain = fixture('svm-cs').replace(/^\[ *[0-9.]+\]/gm, 'host kernel: $&');
    for (const text of [quoted(plain), quoted(plain).replaceAll('\n', '\r\n'), quoted(plain, 72)])
      assert.deepEqual(values(text), values(plain));
    assert.deepEqual(only(quoted(plain)).damage, []);
    const blanks = quoted(plain).replace(/([^=])$/gm, '$1=20');
    assert.deepEqual(values(blanks), values(plain));
  });
  it('leaves plain lines alone that end with a sign of equality, beside one that no mail has', () => {
    const wide = `${'-'.repeat(70)} x=\n${'-'.repeat(70)} y=\n`;
    for (const other of ['a = 5', 'CR0: actual=0x80050033', '-'.repeat(77)])
      assert.deepEqual(texts(`${wide}${other}\n`), `${wide}${other}\n`.split('\n'));
    const short = 'RIP =\n0000\nRSP =\n0000';
    assert.deepEqual(texts(short), short.split('\n'));
  });
  it('leaves plain text alone: values that begin with 3D, and a plain dump beside a quoted one', () => {
    const registers = 'RAX=3D00000000000000 RBX=0000000000000000\n'.repeat(10);
    assert.deepEqual(texts(registers), registers.split('\n'));
    const [plain, mail] = [fixture('vmx-pdpte'), quoted(fixture('vmx-two-faults'))];
    assert.deepEqual(values(`${plain}\n${mail}`), values(`${plain}\n${fixture('vmx-two-faults')}`));
  });
  it('endless soft breaks take no time', () => {
    const began = process.cpuUsage();
    const lines = [...unquoted(`first\n${'a=3D=\n'.repeat(300_000)}${'=3D='.repeat(1_000_000)}\nlast`)];
    assert.deepEqual(
      lines.map(({ number }) => number),
      [1, 2, 300_003],
    );
    assert.ok(process.cpuUsage(began).user < 5_000_000);
  });
});

describe('a dump with many garbled values', () => {
  it('is damaged, even where it does not say that an entry failed', () => {
    const text = fixture('vmx-pdpte')
      .replace(/PDPTR.*\n/g, '\n')
      .replaceAll('sel=0x', 'sel=~')
      .replace(/reason=\w+ qualification=\w+/, '');
    const report = only(text);
    assert.equal(report.outcome.failed, null);
    assert.equal(report.verdict, 'damaged');
    assert.match(report.sentence, /damaged in \d+ places, the first at line \d+/);
  });
});
