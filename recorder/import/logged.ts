/** What is before a line that came through a log, a terminal or a chat, where a task's name is looked for. */

/** What a log, perf-prof, or what shows a text, puts before each of its lines. */
const LOGGED = new RegExp(
  `^(?:${[
    '[A-Z][a-z]{2} [ \\d]\\d [\\d:]{8}(?: \\S+ (?:kernel|[\\w.@-]+\\[\\d+\\]):)?', // syslog; ts
    '\\d{4}-\\d\\d-\\d\\dT\\S+(?: \\S+ (?:kernel|[\\w.@-]+\\[\\d+\\]):)?', // journalctl -o short-iso; GitHub Actions, kubectl logs --timestamps
    '\\d{4}-\\d\\d-\\d\\d [\\d:.]+ *\\|?', // perf-prof
    '\\[\\d{4}-\\d\\d-\\d\\d [\\d:.]+\\]', // ts '[%F %T]'
    '\\d\\d:\\d\\d:\\d\\d(?:\\.\\d+)?(?=\\s)', // ts -s
    '\\d{9,}\\.\\d{6}(?=\\s)', // ts %.s
    '<\\d+>', // /dev/kmsg
    'kern *: *\\w+ *:', // dmesg -x
    '\\[ *\\d+\\.\\d+\\]', // dmesg
    '\\[\\w{3} \\w{3} +\\d+ [\\d:]{8} \\d{4}\\]', // dmesg -T
    '\\[ *[TC]\\d+\\]', // the kernel's caller
    '(?:[^\\s:]+:)?\\d+:(?=\\s)', // grep -n, grep -Hn
    '[|+](?=\\s)', // a quotation; what diff adds
    '\\d+\\t', // cat -n
    '[\\w.-]+ +\\|(?=\\s)', // docker compose logs
    '\\[pod/\\S+\\]', // kubectl logs --prefix
  ].join('|')})\\s*`,
);

/** A task's name without what a log put before its line. */
export function unlogged(name: string): string {
  const rest = name.replace(LOGGED, '');
  return rest === name || rest === '' ? name : unlogged(rest);
}
