/**
 * Lines of ftrace that name no event, because a tracer or an option of it prints them, and not a tracepoint: functions
 * (trace_fn_trace of kernel/trace/trace_output.c), heads of stack traces (trace_stack_print, trace_user_stack_print), and
 * the calls of function_graph (kernel/trace/trace_functions_graph.c). The samples are in Documentation/trace/ftrace.rst.
 */

/** Bytes of the longest line that is looked at, and blanks of the widest column. */
const LONGEST = 1024;
const GAP = ' {0,24}';
/** seq_print_ip_sym: a name, with sym-offset where in it and its module, with sym-addr its address; of no symbol that alone. */
const SYMBOL = String.raw`(?:0|\[unknown/kretprobe'd\]|0x[\da-f]{8,16}|[A-Za-z_][\w.$]*(?:\+0x[\da-f]+/0x[\da-f]+)?(?: \[\w+\])?)(?: <[\da-f]{8,16}>)?`;
/** seq_print_user_ip: with sym-userobj the file and where in it, else the address; `??` up to Linux 4.19. */
const USER = String.raw`/[^[]*\[\+0x[\da-f]+\](?: <[\da-f]{8,16}>)?| ?<[\da-f]{8,16}>|\?\?`;
/** A frame; trace-cmd writes the address in parentheses. In function_graph, the last one ends the comment. */
const FRAME = new RegExp(String.raw`^[>\s]*=>[ \t](?:${SYMBOL}|${USER}|\[FTRACE TRAMPOLINE\]|.*\))(?: \*/)?\s*$`);
/** Events of kernel/trace/trace_entries.h, by the colon before what is printed of them. */
const EVENTS_OF_TRACERS: readonly { readonly event: string; readonly text: RegExp }[] = [
  { event: 'kernel_stack', text: /:(?=\s+<stack trace>\s*$)/ },
  { event: 'user_stack', text: /:(?=\s+<user stack trace>\s*$)/ },
  { event: 'function', text: new RegExp(String.raw`:(?=\s+${SYMBOL}(?:\([^()]*\))? <-${SYMBOL}\s*$)`) },
];

/**
 * print_graph_prologue, print_graph_duration: the time (or with latency-format the time since the beginning), CPU, task, flags
 * and duration, each where its option is set; print_graph_irq's arrows are where the duration is.
 */
const GRAPH = new RegExp(
  String.raw`^[>\s]*(?:(\d+\.\d{6}) \|${GAP}|\d+ us \|${GAP})?(\d{1,5})\) (?:${GAP}(\S.{0,15}?)-(\d{1,10})${GAP}\| )?` +
    String.raw`(?:${GAP}[\w.#]{4,8} \| )?${GAP}(?:[-+!#*@$]?${GAP}\d+(?:\.\d+)? us|(={10}>|<={10}))?${GAP}\|(.*)$`,
);
/** The beginning of a line that says when and where: no other line has both so. */
const TIMED = /^[>\s]*\d+\.\d{6} \| {1,24}\d{1,5}\) /;
/** verif_pid's note that a CPU runs another task. */
const SWITCH = /^[>\s]*(?:-{42}|\d{1,5}\) {1,24}\S.{0,24}-\d{1,10} {1,24}=> {1,24}\S.{0,24}-\d{1,10})\s*$/;
/** print_graph_entry_leaf, print_graph_entry_nested, print_graph_return, each with a comment behind it where an option is set. */
const CALL = new RegExp(String.raw`^ *(?:${SYMBOL}\(.*\)(?: \{|;)|\})(?: */\*.*\*/)?\s*$`);
/** print_graph_comment: what else was traced; a stack trace ends in a line of its own. */
const COMMENT = /^ *\/\* (?:(.*) \*\/|<(?:user )?stack trace>)\s*$/;
/** An event of KVM, and what begins as an event does whose name is none. */
const EVENT = /^kvm_\w+:/;
const NO_EVENT = /^(?!\w+:)\S+:(?:\s|$)/;

interface Graph {
  readonly head: string;
  /** An event of KVM; null: a call, or what others print between calls. */
  readonly event: string | null;
}

/** What a whole line of function_graph says; null: it is none, or damaged. */
function graphOf(line: string): Graph | null {
  const [, time, cpu = '', task, thread, arrow, rest = ''] = GRAPH.exec(line) ?? [];
  if (cpu === '') return null;
  const head = `${task === undefined ? '' : `${task}-${thread} `}[${cpu.padStart(3, '0')}]`;
  const [comment, text = ''] = COMMENT.exec(rest) ?? [];
  if (comment === undefined)
    return (arrow !== undefined && rest.trim() === '') || CALL.test(rest) ? { head, event: null } : null;
  if (NO_EVENT.test(text)) return null;
  if (!EVENT.test(text)) return { head, event: null };
  // of what function_graph prints between its calls, KVM's events say how often a guest exits
  return { head, event: time === undefined ? ` kvm:${text}` : ` ${time}: ${text}` };
}

/** A frame of a stack trace as ftrace and trace-cmd print it. */
export const isStackFrame = (text: string): boolean => FRAME.test(text);

/** A whole line of function_graph, which may have an event in a comment. */
export const isGraph = (text: string): boolean => SWITCH.test(text) || graphOf(text) !== null;

/** Whether a line of function_graph begins in this one, even if what it says goes on in the next. */
export const beginsGraph = (text: string): boolean => SWITCH.test(text) || TIMED.test(text) || GRAPH.test(text);

export class TracerLine {
  bytes: Uint8Array = new Uint8Array(0);

  /**
   * What the line [start, end) is: an event, which is then in `bytes` with the head and the name that other lines have; a call,
   * which is none; or neither.
   */
  take(bytes: Uint8Array, start: number, end: number): 'event' | 'call' | null {
    if (end - start > LONGEST) return null;
    const line = Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
    for (const { event, text } of EVENTS_OF_TRACERS) {
      const at = text.exec(line)?.index;
      if (at !== undefined) return this.#write(`${line.slice(0, at)}: ${event}${line.slice(at)}`);
    }
    if (SWITCH.test(line)) return 'call';
    const graph = graphOf(line);
    if (graph === null) return null;
    return graph.event === null ? 'call' : this.#write(graph.head + graph.event);
  }

  #write(line: string): 'event' {
    this.bytes = Buffer.from(line, 'latin1');
    return 'event';
  }
}
