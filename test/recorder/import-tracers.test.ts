/** What tracers of ftrace and their options print beside tracepoints is no damage. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Imported, importText } from './import-helpers.js';

const EXIT =
  '       CPU 0/KVM-123     [000] ..... 100.000001: kvm_exit: vcpu 0 reason CPUID rip 0x101b2 info1 0x0 info2 0x0 intr_info 0x0 error_code 0x0';
const ENTRY = '       CPU 0/KVM-123     [000] ..... 100.000009: kvm_entry: vcpu 0, rip 0x101b4';
const among = (lines: string): ReturnType<typeof importText> => importText(`${EXIT}\n${lines}\n${ENTRY}\n`);
const textsOf = ({ events }: ReturnType<typeof importText>): unknown[] =>
  events.flatMap(({ kind, text }) => (kind === 'other' ? [text] : []));

/** Stack traces: Documentation/trace/ftrace.rst, messages of commits to kernel/trace, and trace-cmd report. */
const STACKS: readonly (readonly [what: string, head: string, text: string, frames: string])[] = [
  [
    'the kernel, latency format',
    '    <idle>-0       0dNs3   25us : <stack trace>',
    'kernel_stack: <stack trace>',
    ' => _raw_spin_unlock_irq\n => run_timer_softirq\n => entry_SYSCALL_64_after_hwframe\n => __do_execve_file.isra.32',
  ],
  [
    'sym-offset and sym-addr',
    '           <...>-123     [000] ..... 100.000002: <stack trace>',
    'kernel_stack: <stack trace>',
    " => simple_strtoul+0x6/0xa0\n => simple_strtoul <c0339346>\n => kvm_vcpu_ioctl+0x12/0x5d0 [kvm]\n => 0xffffffffc05ed1ce\n => [unknown/kretprobe'd]\n => [FTRACE TRAMPOLINE]",
  ],
  [
    'a user, by address',
    '            less-1911  [001] d..2    34.758944: <user stack trace>',
    'user_stack: <user stack trace>',
    '   =>  <00007f16f2295910>\n   => ??\n   => ??',
  ],
  [
    'a user, by file',
    '    bash-489     [000] .....  2167.660787: <user stack trace>',
    'user_stack: <user stack trace>',
    ' => /lib/aarch64-linux-gnu/libc-2.32.so[+0xa76d8]\n => /bin/bash[+0x5f354]\n => /bin/bash[+0x4876c]',
  ],
  [
    'trace-cmd',
    '            kvmc-645   [000]   100.000002: kernel_stack:         <stack trace >',
    'kernel_stack: <stack trace >',
    '=> vmx_vcpu_run (ffffffffc05ed1ce)\n=> kvm_vcpu_ioctl (ffffffffc05ed1ce)',
  ],
];

describe('stack traces', () => {
  for (const [what, head, text, frames] of STACKS) {
    it(what, () => {
      for (const quote of ['', '> ']) {
        const imported = among([head, ...frames.split('\n')].map((line) => `${quote}${line}`).join('\n'));
        assert.deepEqual(textsOf(imported), [text]);
        const { damaged, frames: left } = imported.result.counts;
        assert.deepEqual([damaged, left], [0, frames.split('\n').length], quote);
      }
    });
  }

  it('an arrow before anything else is none of one', () => {
    assert.equal(among('=> next_comm=swapper/0 next_pid=0 next_prio=120').result.counts.damaged, 1);
    assert.equal(among(' => and here it hangs').result.counts.damaged, 1);
  });
});

describe('the function tracer', () => {
  for (const [line, text, thread] of [
    [
      '            bash-1994  [000] ....  4342.324896: file_ra_state_init <-do_dentry_open',
      'function: file_ra_state_init <-do_dentry_open',
      1994,
    ],
    [
      '          <idle>-0     [002]  23636.756054: ttwu_do_activate.constprop.89 <-try_to_wake_up',
      'function: ttwu_do_activate.constprop.89 <-try_to_wake_up',
      0,
    ],
    [
      '    <idle>-0       0d.s2    0us+: _raw_spin_lock_irq <-run_timer_softirq',
      'function: _raw_spin_lock_irq <-run_timer_softirq',
      0,
    ],
    [
      '            bash-1994  [000] ....  4342.324896: simple_strtoul+0x6/0xa0 <-kstrtoul+0x1/0x20',
      'function: simple_strtoul+0x6/0xa0 <-kstrtoul+0x1/0x20',
      1994,
    ],
  ] as const) {
    it(line.trim(), () => {
      const imported = among(line);
      assert.deepEqual(textsOf(imported), [text]);
      assert.equal(imported.result.counts.damaged, 0);
      const says = JSON.parse(
        imported.writer.dictionary('vcpu').get(BigInt(Number(imported.events[1]?.vcpu)))?.says ?? '{}',
      );
      assert.equal(says.thread, thread);
    });
  }

  it('a line that names no caller is not one', () => {
    assert.equal(among('           bash-1994  [000] ....  4342.324896: kvm_exit <-').result.counts.damaged, 1);
  });
});

describe('function_graph', () => {
  it('its calls are left out, as call chains are', () => {
    const calls = [
      ' 0)               |      putname() {',
      ' 0)   0.518 us    |          __phys_addr();',
      ' 0) ! 1757.104 us |        } /* kmem_cache_free() */',
      ' 1)   0.651 us    |      cgroup_migrate_add_task(); /* = 0xffff93fcfd346c00 */',
      " 1)               |                /* I'm a comment! */",
      ' 0)    sh-4802     |   0.421 us    |                  } /* d_free */',
      '          0 us |   0)   bash-1507    |  d... |   0.000 us    |  _raw_spin_lock_irqsave();',
      '360.774522 |   1)   0.541 us    |                                          }',
      ' 0)   ==========> |',
      ' 0)   <========== |',
      ' ------------------------------------------',
      ' 0)    bash-1507    =>   sshd-1991   ',
      ' ------------------------------------------',
    ];
    const { result, events } = among(calls.join('\n'));
    assert.deepEqual([events.length, result.counts.damaged, result.counts.frames], [2, 0, calls.length]);
  });

  it('events between them are events', () => {
    const { events, result } = among(
      ' 0)               |  /* kvm_entry: vcpu 0, rip 0x40 */\n' +
        ' 360.774522 |   1)  CPU 1/KVM-124 |               |    /* kvm_entry: vcpu 1, rip 0x50 */',
    );
    assert.deepEqual(
      events.slice(1, 3).map(({ kind, rip, time_ns }) => [kind, rip, time_ns]),
      [
        ['entry', 0x40, undefined],
        ['entry', 0x50, 360_774_522_000],
      ],
    );
    assert.deepEqual([result.counts.entries, result.counts.damaged], [3, 0]);
    assert.equal(among(' 0)               |  /* kvm_exit').result.counts.damaged, 1);
  });
});

it('fences of Markdown around a text are no damage', () => {
  for (const [open, close] of [
    ['```', '```'],
    ['```text', '```'],
    ['~~~ console', '~~~'],
    ['> ````', '> ````'],
  ]) {
    const { result, events } = importText(`${open}\n${EXIT}\n${ENTRY}\n${close}\n`);
    assert.deepEqual([result.counts.damaged, events.length], [0, 2], open);
  }
});

describe('function_graph, damaged', () => {
  const CALLS =
    ' 100.000002 |   0)   CPU 0/KVM-123    |               |  vmx_handle_exit [kvm_intel]() {\n' +
    ' 100.000003 |   0)   CPU 0/KVM-123    |   0.310 us    |    kvm_skip_emulated_instruction(vcpu=0x1); /* = 0x1 */\n' +
    ' 100.000004 |   0)   CPU 0/KVM-123    |   2.310 us    |  } /* vmx_handle_exit [kvm_intel] */\n' +
    ' 100.000005 |   0)   CPU 0/KVM-123    |   ==========> |';
  const comment = (text: string): string => ` 100.000006 |   0)   CPU 0/KVM-123    |               |  ${text}`;

  it('calls are whole', () => {
    const { damaged, frames } = among(CALLS).result.counts;
    assert.deepEqual([damaged, frames], [0, 4]);
  });
  for (const text of [
    '/* kvm_exit: vcpu 0 reason CPUID rip 0x10',
    '/* kv',
    '/* kv@@#xit: vcpu 0 reason CPUID rip 0x101b2 */',
    'kvm_exit: vcpu 0 reason CPUID rip 0x101b2 */',
    '',
    'vmx_handle_exit [kvm_in',
  ])
    it(`is damaged: ${JSON.stringify(text)}`, () => {
      const { counts } = among(`${CALLS}\n${comment(text)}`).result;
      assert.deepEqual([counts.damaged, counts.events], [1, 2]);
    });
  it('is none where a comment is of others', () => {
    for (const text of ['/* sched_switch: prev_comm=a */', '/* from trace_printk() */', '/* <stack trace>'])
      assert.equal(among(comment(text)).result.counts.damaged, 0, text);
  });
});

describe('wrapped beside events of KVM', () => {
  const stack = '       CPU 0/KVM-123     [000] ..... 100.000001: <stack trace>\n => vmx_vcpu_run\n => kvm_vcpu_ioctl';
  const call = '       CPU 0/KVM-123     [000] ..... 100.000002: vmx_handle_exit <-vcpu_enter_guest.constprop.0';
  const round = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');
  const graph = (time: string, text: string): string => ` ${time} |   0)   CPU 0/KVM-123    |               |  ${text}`;
  const [exit = '', entry = ''] = [EXIT, ENTRY].map((line) => line.slice(line.indexOf('kvm_')));
  const TEXTS: { readonly [tracer: string]: string } = {
    calls: round([
      graph('100.000001', `/* ${exit} */`),
      graph('100.000003', 'kvm_skip_emulated_instruction [kvm]();'),
      graph('100.000009', `/* ${entry} */`),
    ]).repeat(40),
    'stack traces': round([EXIT, stack, ENTRY, stack]).repeat(40),
    functions: round([EXIT, call, call, ENTRY, call]).repeat(40),
  };
  const broken: { readonly [how: string]: (text: string) => string } = {
    'at a column': (text) => text.replace(/.{80}(?=.)/g, '$&\n'),
    'at a blank': (text) => text.replace(/(?=.{79})(.{40,78}) /g, '$1\n'),
    'at a blank, in a mail': (text) => text.replace(/(?=.{77})(.{40,76}) /g, '$1\n').replace(/^(?=.)/gm, '> '),
  };
  for (const [tracer, text] of Object.entries(TEXTS))
    for (const [how, wrap] of Object.entries(broken))
      it(`${tracer}, ${how}`, () => {
        const wrapped = wrap(text);
        assert.ok(wrapped.split('\n').length >= text.split('\n').length + 40);
        const [whole, again] = [importText(text), importText(wrapped)];
        assert.equal(whole.events.filter(({ kind }) => kind === 'exit').length, 40);
        assert.equal(again.result.counts.damaged, 0);
        const told = ({ events }: Imported): unknown => events.map(({ kind, rip, time_ns }) => [kind, rip, time_ns]);
        assert.deepEqual(told(again), told(whole));
      });
});
