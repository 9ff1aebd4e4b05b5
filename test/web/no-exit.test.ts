/** What the page says of a trace without an exit is true of that trace. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { readTimeline } from '../../analyzer/timeline.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { whyNoExit } from '../../web/client/no-exit.js';

async function saidOf(text: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-no-exit-'));
  try {
    const path = join(folder, 'a.arrow');
    importTrace(memorySource(Buffer.from(text)), () => createTrace(path));
    const reader = openTrace(path);
    try {
      return whyNoExit((await readTimeline(reader, 'a')).overview);
    } finally {
      reader.close();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const SWITCH =
  't-1 [000] 1.0: sched_switch: prev_comm=a prev_pid=1 prev_prio=120 prev_state=S ==> next_comm=b next_pid=2 next_prio=120\n';

for (const [what, text, says] of [
  [
    'entries',
    't-1 [000] 1.0: kvm_entry: vcpu 0\n'.repeat(2),
    /no exit, though there are 2 VM entries, .* unknown, not zero/,
  ],
  ['nothing of KVM', SWITCH, /no event of KVM .* unknown, not zero/],
  [
    'other events of KVM',
    `t-1 [000] 1.0: kvm_fpu: load\n${SWITCH}`,
    /the kernel emits none, as without kvm_intel or kvm_amd/,
  ],
  ['an exit', 't-1 [000] 1.0: kvm_exit: reason HLT rip 0x0 info 0 0\n', /vCPUs that are chosen/],
] as const) {
  it(what, async () => {
    const said = await saidOf(text);
    assert.match(said, says);
    assert.equal(/emits none/.test(said), what === 'other events of KVM');
  });
}
