/** Forms of recordings as text: what tools print, what people paste and what mail makes of it. */
import { fixture } from '../recorder/import-helpers.js';
import { checkImport, Kept } from './imports.js';
import { mutateText } from './mutate.js';
import type { Form } from './run.js';

const LINES = 24;

/** One line of each form of a prefix, and of what stands around events. */
const VARIANTS = [
  '# tracer: nop',
  '# entries-in-buffer/entries-written: 10/25   #P:1',
  ' CPU 0/KVM-1234  [038] d..1  2825.959082: kvm_entry: vcpu 1',
  '<...>-62567 [038] d.... 2825.959083: kvm_exit: reason EXTERNAL_INTERRUPT rip 0x100 info 0 800000f6',
  'fc_vcpu 0-552219 [003] ....... 97836.519114: kvm_exit: vcpu 0 reason npf rip 0xfd11d info 100000014 fd000',
  'CPU:1 [LOST 707 EVENTS]',
  '2022-04-22 17:39:26.535253   <...> 126953 d... [074] 96822671.266643: kvm:kvm_entry: vcpu 0',
  '    [001]   770.850287:      kvm:kvm_exit: vcpu 0 reason HLT rip 0x100146 info1 0x0 info2 0x0 intr_info 0x0',
  'CPU 1/KVM  900/901  [011] 7.5: kvm:kvm_pio: pio_write at 0x3f8 size 1 count 1 val 0x41 ',
  'kvm_entry: vcpu 0',
  ' 220.696238: kvm_exit: reason MSR_WRITE rip 0x406a89 info 0 0     <---- [1]',
  '  CPU 0: kvm_entry: vcpu 0, rip 0xffffffff81000aa0',
  '> >   dirty_log_test-29003 [001] 184503.384328: kvm_exit: vcpu 1 reason EPT_MISCONFIG rip 0x1 info1 0x0',
  '> > info2 0x0000000000000000 intr_info 0x00000000 error_code 0x00000000',
  'swapper 0 [001] 4.5: PERF_RECORD_LOST lost 12',
  '        ffffffff8db81dad __x64_sys_ioctl+0x8d ([kernel.kallsyms])',
  't-1 [000] 9.0: sched:sched_switch: prev_comm=x ==> next_comm=y',
  't-1 [000] 9.1: kvm_inj_exception:    [FAILED TO PARSE] exception=13 has_error=1 error_code=0 reinjected=1',
  'kvmc-123 [000] 44274241234999: kvm_exit: reason EPT_VIOLATION 0x4000000 rip 0x10000 info 781 0',
  '    kvmc-123     0d..1.     4.574370: kvm_entry: vcpu 0 rip 0x10000',
  'CPU 0/KV-1234    2d..1 23us+: kvm_entry: vcpu 0',
  'kvmc   645    36.051022:  kvm:kvm_entry: vcpu 0',
  'kvmc-1 [000] 4.5: (+350) kvm_exit: exit_reason=1024 guest_rip=0x10000 isa=2 info1=0x6 info2=0x1000 vcpu_id=0',
].join('\n');

/** Lines of ftrace's tracers around events, of which enough tell how times are written: Documentation/trace/ftrace.rst. */
const TRACERS = [
  '# tracer: function_graph',
  ...[1, 3, 5].flatMap((i) => [
    `    kvmc-123     [000] .....     4.57436${i}: kvm_exit: vcpu 0 reason hlt rip 0x10000 info1 0x0 info2 0x0`,
    `    kvmc-123     [000] .....     4.57436${i + 1}: kvm_entry: vcpu 0, rip 0x10000`,
  ]),
  '    kvmc-123     [000] .....     4.574370: kvm_exit: vcpu 0 reason hlt rip 0x10000 info1 0x0 info2 0x0',
  '    kvmc-123     [000] .....     4.574371: <stack trace>',
  ' => vmx_vcpu_run+0x12/0x5d0 [kvm_intel]',
  ' => kvm_vcpu_ioctl <ffffffffc05ed1ce>',
  '    kvmc-123     [000] .....     4.574372: <user stack trace>',
  ' => /lib/libc-2.32.so[+0xa76d8]',
  '    kvmc-123     [000] .....     4.574373: vmx_handle_exit <-vcpu_enter_guest.constprop.0',
  '    kvmc-123     [000] .....     4.574374: kvm_entry: vcpu 0, rip 0x10002',
  ' 4.574375 |   0)   kvmc-123    |               |  /* kvm_exit: vcpu 0 reason msr rip 0x10004 info1 0x0 info2 0x0 */',
  ' 4.574376 |   0)   kvmc-123    |               |  handle_wrmsr [kvm_amd]() {',
  ' 4.574377 |   0)   kvmc-123    |   ==========> |',
  ' 4.574378 |   0)   kvmc-123    | + 12.310 us   |    irq_enter(); /* = 0x0 */',
  ' 4.574379 |   0)   kvmc-123    |   2.310 us    |  } /* handle_wrmsr [kvm_amd] */',
  ' 0)    <idle>-0    =>   kvmc-123',
  ' 4.574380 |   0)   kvmc-123    |               |  /* kvm_entry: vcpu 0, rip 0x10006 */',
  '    kvmc-123     [000] .....     4.574381: kvm_exit: vcpu 0 reason hlt rip 0x10008 info1 0x0 info2 0x0',
].join('\n');

const QUOTED = VARIANTS.replaceAll('=', '=3D').replaceAll(/(.{70})/g, '$1=\n');

const WORDS = [
  ...['[000]', ' [000] 1.5: ', 'kvm_exit: ', 'kvm_entry: vcpu 0\n', 'kvm:', 'reason ', 'rip 0x', 'vcpu ', 'info1 '],
  ...['kvm_nested_vmexit: rip 1 reason VMCALL info1 1 info2 2 int_info 3 int_info_err 4\n', ' FAILED_VMENTRY', '=3D'],
  ...['PERF_RECORD_LOST lost 99999999999999999999', 'CPU:0 [99999999999 EVENTS DROPPED]', 'UNKNOWN (2147483681)'],
  ...[' => ', ' <-', ' /* ', ' */', ' 0) ', ' | ', ' us ', '() {', ': <stack trace>\n', '```'],
  ...['guest_rip=', 'isa=1 ', ' 23us : ', ' 18446744073709551615: ', ' (0x', 'ARRAY[0f, a2]'],
  ...[
    '# entries-in-buffer/entries-written: 1/99999999999999999999',
    'd..1 ',
    '<---- [1]',
    '\n> ',
    ' excp',
    '0x1d (29)',
  ],
];

/** Ends of lines. */
function edges(text: string): number[] {
  const ends: number[] = [];
  const bytes = Buffer.from(text);
  for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, at + 1)) ends.push(at + 1);
  return ends;
}

function textForm(name: string, texts: readonly string[]): Form {
  const seeds = texts.map((text) => Buffer.from(text.split('\n').slice(0, LINES).join('\n')));
  const kept = new Map<Uint8Array, Kept>(
    seeds.map((seed) => [seed, new Kept(seed, edges(seed.toString('utf8')), 0)] as const),
  );
  return {
    name,
    seeds,
    mutate: (original, random) => Buffer.from(mutateText(Buffer.from(original).toString('utf8'), WORDS, random)),
    check: (input, original, run) =>
      checkImport(input, original, run, { prefix: true, smallest: 10, kept: (seed) => kept.get(seed) }),
  };
}

export function textForms(): readonly Form[] {
  return [
    textForm('trace-cmd-report', [fixture('svm-nested.report.txt'), fixture('vmx-nested.report.txt')]),
    textForm('perf-script', [fixture('svm-basic.script.txt'), fixture('svm-timer-callchains.script.txt')]),
    textForm('tracefs-trace', [fixture('svm-ring-too-small.trace.txt'), TRACERS]),
    textForm('pasted-text', [VARIANTS, QUOTED]),
  ];
}
