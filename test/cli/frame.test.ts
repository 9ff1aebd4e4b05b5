import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { distance, nearest } from '../../analyzer/nearest.js';
import { type Command, type CommandEntry, EXIT, JSON_OPTION } from '../../cli/command.js';
import { CLI_ERRORS, CliError, describeError, formatError } from '../../cli/errors.js';
import { toJson } from '../../cli/json.js';
import { Output, type Sink } from '../../cli/output.js';
import { readInteger } from '../../cli/parse.js';
import { EXIT_DEFECT, runProgram } from '../../cli/program.js';
import { formatBar, formatNs, formatNumber, layTable } from '../../cli/table.js';

class Paper implements Sink {
  text = '';
  readonly isTTY: boolean;
  readonly columns = 80;
  constructor(isTTY = false) {
    this.isTTY = isTTY;
  }
  write(text: string): void {
    this.text += text;
  }
}

const echo: Command = {
  arguments: [
    { name: 'FILE', says: 'a file' },
    { name: 'MORE', says: 'another', optional: true },
  ],
  options: [
    JSON_OPTION,
    { name: 'output', short: 'o', value: 'NAME', says: 'where to' },
    { name: 'set', value: 'K=V', repeats: true, says: 'a setting' },
    { name: 'max', value: 'N', says: 'a number' },
  ],
  run(call) {
    call.out.json({
      args: call.args,
      json: call.flag('json'),
      output: call.value('output'),
      set: call.values('set'),
      max: call.integer('max', 1, 1000),
      need: call.args[0] === 'need' ? call.needed('output') : null,
    });
    return EXIT.differs;
  },
};
const failing = (error: unknown): Command => ({
  arguments: [],
  options: [],
  run() {
    throw error;
  },
});
const entry = (name: string, command: Command): CommandEntry => ({
  name,
  summary: `Does ${name}.`,
  load: async () => ({ command }),
});

const guest = entry('guest', {
  ...echo,
  run: ({ args: [name = ''] }) => {
    throw new CliError('UNKNOWN_GUEST', name);
  },
});

async function run(
  words: readonly string[],
  commands: readonly CommandEntry[] = [entry('echo', echo), guest],
  tty = false,
) {
  const out = new Paper(tty);
  const err = new Paper(tty);
  const code = await runProgram(words, new Output(out, err, {}), commands);
  return { code, out: out.text, err: err.text };
}

describe('command line', () => {
  it('parses options in every spelling, and arguments between them', async () => {
    const spelled = await run(['echo', '-o', 'x', 'a', '--set=p=1', '--set', 'q=2', '--max', '0x10', '--', '-b']);
    assert.equal(spelled.code, EXIT.differs);
    assert.deepEqual(JSON.parse(spelled.out), {
      args: ['a', '-b'],
      json: false,
      output: 'x',
      set: ['p=1', 'q=2'],
      max: 16,
      need: null,
    });
    assert.deepEqual(JSON.parse((await run(['echo', '-', '--json'])).out).args, ['-']);
  });

  const refused: readonly (readonly [string, readonly string[], string])[] = [
    ['unknown command', ['ecko'], 'UNKNOWN_COMMAND no such command: ecko; did you mean echo?'],
    ['unknown command, nothing near', ['zzzzzz'], 'UNKNOWN_COMMAND no such command: zzzzzz; see trapline --help'],
    ['unknown guest', ['guest', 'ech'], 'UNKNOWN_GUEST no such guest: ech; see trapline guests'],
    ['unknown option', ['echo', 'f', '--jsn'], 'UNKNOWN_OPTION no such option: echo --jsn; did you mean --json?'],
    ['unknown letter', ['echo', 'f', '-x'], 'UNKNOWN_OPTION no such option: echo -x; see --help of the command'],
    ['value missing', ['echo', 'f', '-o'], 'MISSING_VALUE option needs a value: echo -o; write -o NAME'],
    [
      'flag with value',
      ['echo', 'f', '--json=1'],
      'UNEXPECTED_VALUE option takes no value: echo --json=1; leave the value out',
    ],
    ['given twice', ['echo', 'f', '-o', 'a', '-o', 'b'], 'REPEATED_OPTION option given twice: echo -o; give it once'],
    ['argument missing', ['echo'], 'MISSING_ARGUMENT argument missing: echo FILE: a file; see --help of the command'],
    ['option missing', ['echo', 'need'], 'MISSING_OPTION option missing: echo --output: where to; write --output NAME'],
    [
      'one too many',
      ['echo', 'a', 'b', 'c'],
      'UNEXPECTED_ARGUMENT one argument too many: echo c; see --help of the command',
    ],
    [
      'value out of range',
      ['echo', 'a', '--max', '2000'],
      'BAD_VALUE bad value: echo --max 2000: an integer from 1 to 1000 is meant; see --help of the command',
    ],
  ];
  for (const [name, words, line] of refused) {
    it(`refuses with one line and exit code 2: ${name}`, async () => {
      assert.deepEqual(await run(words), { code: EXIT.wrong, out: '', err: `trapline: ${line}\n` });
    });
  }

  it('takes each refusal from the table of errors, which says what to do for every one', () => {
    for (const [, , line] of refused) assert.ok(Object.hasOwn(CLI_ERRORS, line.split(' ')[0] ?? ''), line);
    for (const { what, advice } of Object.values(CLI_ERRORS)) assert.ok(what.length > 0 && advice.length > 0);
  });

  it('makes help from the tables', async () => {
    const all = await run(['--help']);
    assert.equal(all.code, EXIT.holds);
    assert.match(all.out, /echo\s+Does echo\./);
    const one = await run(['echo', '--help']);
    assert.equal(one.code, EXIT.holds);
    assert.match(one.out, /Usage: trapline echo FILE \[MORE\] \[options\]/);
    assert.match(one.out, /-o, --output NAME\s+where to/);
    for (const line of (all.out + one.out).split('\n')) assert.ok(line.length <= 80, line);
  });

  it('says what is wrong and exits 2 without a command', async () => {
    const none = await run([]);
    assert.equal(none.code, EXIT.wrong);
    assert.match(none.out, /Usage/);
  });
});

describe('what a trace says on a terminal', () => {
  const hostile = '\u001b]0;owned\u0007\u001b[2J\u009b31mkvm\t1';
  const shown = (isTTY: boolean): string => {
    const paper = new Paper(isTTY);
    const out = new Output(paper, new Paper(), {});
    out.line(`${out.paint('red', 'a name:')} ${hostile}`);
    out.table([{ title: 'name' }, { title: 'more' }], [[hostile, 'x']]);
    return paper.text;
  };

  it('is no command to it, and its own colours stay', () => {
    const text = shown(true);
    const own = '\u001b[31ma name:\u001b[39m ';
    assert.ok(text.startsWith(`${own}\ufffd]0;owned\ufffd\ufffd[2J\ufffd31mkvm\t1\n`), text);
    const rest = text.slice(own.length).replaceAll('\u001b[2m', '').replaceAll('\u001b[22m', '');
    assert.deepEqual(
      ['\u001b', '\u0007', '\u009b'].filter((control) => rest.includes(control)),
      [],
    );
  });

  it('goes into a pipe as it is', () => {
    assert.ok(shown(false).includes(hostile));
  });
});

describe('errors', () => {
  it('prints coded errors of any room in one clean line', async () => {
    const error = Object.assign(new Error('x'), {
      code: 'TRACE_CUT',
      what: 'the file ends early',
      where: 'run\u001b[31m.arrow',
      why: 'chunk 3 needs 12 bytes more',
      advice: 'read what is there with --partial',
    });
    assert.deepEqual(await run(['bad'], [entry('bad', failing(error))]), {
      code: EXIT.wrong,
      out: '',
      err: 'trapline: TRACE_CUT the file ends early: run\ufffd[31m.arrow: chunk 3 needs 12 bytes more; read what is there with --partial\n',
    });
  });

  it('says failures of the system in words', () => {
    const error = Object.assign(new Error('ENOENT: no such file'), { code: 'ENOENT', path: '/x/y' });
    const described = describeError(error);
    assert.ok(described);
    assert.equal(formatError(described), 'ENOENT no such file: /x/y; check the path');
  });

  it('never takes a defect for an answer', async () => {
    const result = await run(['bad'], [entry('bad', failing(new TypeError('oops')))]);
    assert.equal(result.code, EXIT_DEFECT);
    assert.match(result.err, /DEFECT/);
  });

  it('bounds what it prints', () => {
    const described = describeError(new CliError('BAD_VALUE', 'x'.repeat(100_000)));
    assert.ok(described);
    assert.ok(formatError(described).length < 1100);
  });
});

describe('nearest name', () => {
  it('counts edits and transpositions', () => {
    assert.equal(distance('kitten', 'sitting'), 3);
    assert.equal(distance('ab', 'ba'), 1);
    assert.equal(distance('', 'abc'), 3);
  });
  it('finds a near name, and none where none is near', () => {
    assert.equal(nearest('improt', ['import', 'profile']), 'import');
    assert.equal(nearest('prof', ['import', 'profile']), 'profile');
    assert.equal(nearest('q', ['import', 'profile']), null);
    assert.equal(nearest('cpuid', ['HLT', 'CPUID', 'RSM']), 'CPUID');
  });
});

describe('numbers and tables', () => {
  it('formats numbers for people', () => {
    assert.equal(formatNumber(1234567), '1,234,567');
    assert.equal(formatNumber(999), '999');
    assert.equal(formatNumber(1234.567, 1), '1,234.6');
    assert.equal(formatNs(999), '999 ns');
    assert.equal(formatNs(1380), '1.38 µs');
    assert.equal(formatNs(407_250), '407 µs');
    assert.equal(formatNs(12_000_000_000), '12 s');
    assert.equal(formatBar(0.5, 4), '██');
    assert.equal(formatBar(1, 4), '████');
    assert.equal(formatBar(1 / 32, 4), '▏');
    assert.equal(readInteger('1_000'), 1000);
    assert.equal(readInteger('0x'), null);
    assert.equal(readInteger('-1'), null);
    assert.equal(readInteger('9'.repeat(20)), null);
  });

  it('aligns columns and cuts the one that may be cut', () => {
    const columns = [
      { title: 'name', shrinks: 4 },
      { title: 'n', align: 'right' as const },
    ];
    assert.deepEqual(
      layTable(columns, [
        ['a', '1'],
        ['bcdefgh', '22'],
      ]),
      ['name      n', 'a         1', 'bcdefgh  22'],
    );
    assert.deepEqual(
      layTable(
        columns,
        [
          ['a', '1'],
          ['bcdefgh', '22'],
        ],
        9,
      ),
      ['name    n', 'a       1', 'bcde…  22'],
    );
  });

  it('leaves out the columns that may go, the lowest number first', () => {
    const columns = [{ title: 'a' }, { title: 'bbbb', drops: 2 }, { title: 'cccc', drops: 1 }];
    const row = ['1', '2', '3'];
    assert.deepEqual(layTable(columns, [row], 13), ['a  bbbb  cccc', '1  2     3']);
    assert.deepEqual(layTable(columns, [row], 12), ['a  bbbb', '1  2']);
    assert.deepEqual(layTable(columns, [row], 6), ['a', '1']);
  });

  it('measures colours as nothing', () => {
    const painted = '\u001b[31mred\u001b[39m';
    assert.deepEqual(
      layTable(
        [{ title: 'a' }, { title: 'b' }],
        [
          [painted, 'x'],
          ['four', 'y'],
        ],
      ),
      ['a     b', `${painted}   x`, 'four  y'],
    );
  });
});

describe('output', () => {
  it('colours on a terminal only, and never against NO_COLOR', () => {
    assert.equal(new Output(new Paper(true), new Paper(), {}).paint('red', 'x'), '\u001b[31mx\u001b[39m');
    assert.equal(new Output(new Paper(true), new Paper(), { NO_COLOR: '1' }).paint('red', 'x'), 'x');
    assert.equal(new Output(new Paper(false), new Paper(), {}).paint('red', 'x'), 'x');
  });

  it('shows progress on a terminal and is silent in a pipe', () => {
    for (const tty of [true, false]) {
      const err = new Paper(tty);
      const progress = new Output(new Paper(), err, {}).progress('work');
      progress.update(1, 4);
      progress.end();
      assert.equal(err.text.includes('25%'), tty);
      if (!tty) assert.equal(err.text, '');
    }
  });

  it('prints 64-bit values as hex strings', () => {
    assert.deepEqual(JSON.parse(toJson({ a: 0xffff_ffff_ffff_ffffn, b: 1, c: new Uint8Array([15, 162]), d: -1n })), {
      a: '0xffffffffffffffff',
      b: 1,
      c: '0fa2',
      d: '0xffffffffffffffff',
    });
  });
});
