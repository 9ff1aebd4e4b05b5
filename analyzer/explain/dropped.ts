/** Lines by which a log says that messages of a kernel are missing from it. */

/**
 * Linux: printk's notice of a console that is too slow (kernel/printk/printk.c), systemd-journald's of a ring buffer that
 * was overrun, rsyslog's of what it did not take from the journal. Suppressed callbacks are those of the function that is
 * named; that of a dump is limited only where somebody made it so.
 *
 * What Xen says of suppressed messages is none of these: its rate limit is for those that guests provoke. Messages of its
 * own, as the lines of a dump are, it prints or not by their level alone, unless it was told otherwise (the thresholds of
 * xen/drivers/char/console.c, of which `lower` and `upper` are the same from 4.0 to 4.22).
 */
const NOTICES: readonly RegExp[] = [
  /\*\* (\d{1,20} printk messages dropped) \*\*/,
  /(\/dev\/kmsg buffer overrun, some messages lost)/,
  /(Missed \d{1,20} kernel messages)/,
  /imjournal: (\d{1,20} messages lost due to rate-limiting)/,
  /\b((?:vmx_|svm_)?dump\w{0,20}: \d{1,20} callbacks suppressed)/,
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
