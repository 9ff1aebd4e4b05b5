/** Lines by which a log says that messages of a kernel or of Xen are missing from it. */

/**
 * Linux: printk's notice of a console that is too slow (kernel/printk/printk.c), systemd-journald's of a ring buffer that
 * was overrun, rsyslog's of what it did not take from the journal. Suppressed callbacks are those of the function that is
 * named; that of a dump is limited only where somebody made it so.
 *
 * Xen: its rate limit (xen/drivers/char/console.c). Linux said the same until 2.6.26, before it printed dumps.
 */
const NOTICES: readonly RegExp[] = [
  /\*\* (\d{1,20} printk messages dropped) \*\*/,
  /(\/dev\/kmsg buffer overrun, some messages lost)/,
  /(Missed \d{1,20} kernel messages)/,
  /imjournal: (\d{1,20} messages lost due to rate-limiting)/,
  /\b((?:vmx_|svm_)?dump\w{0,20}: \d{1,20} callbacks suppressed)/,
  /printk: (\d{1,20} messages suppressed)\./,
];

/** All of them, roughly: of most lines no more is asked. */
const ANY = /dropped|lost|Missed|suppressed/;

/** What a line says of lost messages; null where it says nothing. */
export function droppedBy(line: string): string | null {
  if (!ANY.test(line)) return null;
  for (const notice of NOTICES) {
    const says = notice.exec(line)?.[1];
    if (says !== undefined) return says;
  }
  return null;
}
