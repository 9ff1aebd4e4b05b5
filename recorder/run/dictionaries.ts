/** Names that a recorded trace carries with it, so that it explains itself. */
import { ACCESS_KINDS, EVENT_KINDS } from '../../engine/observer.js';
import { CHECK_NAMES } from '../../engine/vmx/checks/table.js';
import { VMX_EXIT_REASONS } from '../../engine/vmx/exit-reasons.js';
import { FIELDS } from '../../engine/vmx/fields.js';
import { REGISTERS } from '../../traces/schema.js';
import type { TraceWriter } from '../../traces/store.js';

export function defineEngineDictionaries(writer: TraceWriter): void {
  for (const [name, code] of Object.entries(EVENT_KINDS)) writer.define('kind', code, name);
  for (const [name, code] of Object.entries(ACCESS_KINDS)) writer.define('access', code, name);
  for (const { code, name, says } of VMX_EXIT_REASONS) writer.define('reason.vmx', code, name, says);
  for (const { encoding, name } of FIELDS) writer.define('field', encoding, name);
  for (const { code, name, says } of CHECK_NAMES) writer.define('check', code, name, says);
  for (const [n, name] of REGISTERS.entries()) writer.define('register', n, name);
  writer.define('vcpu', 0, 'vCPU 0', JSON.stringify({ vm: 0, thread: 0, vcpu: 0 }));
}
