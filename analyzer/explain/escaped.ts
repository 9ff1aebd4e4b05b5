/** Dumps within strings of JSON and within HTML: line ends that are spelled, a message as numbers, blanks as entities. */
/** A log has dumps in strings: a line end that is spelled, what may stand in front of a line, and one of a dump. */
export const SPELLED_END =
  /\\n[^\\\n]{0,60}?(?:CR0: actual=|CR3 ?=|RSP ?= ?0x|cr_read:|cpl:|EntryControls=|CS ?=[\da-f]{4} |EAX=|RAX=)/;

/** journalctl -o json: a message that is no text in UTF-8, or has control characters, is an array of its bytes. */
const BYTES = /"MESSAGE" ?: ?\[([\d, ]{1,8000})\]/;
const TAB = /\\t/g;
const BLANK = /&(?:nbsp|#160|#xa0);/gi;

const utf8 = new TextDecoder();

/** A line without what JSON and HTML have in place of its characters. */
export function unescaped(line: string): string {
  const bytes = line.includes('"MESSAGE"') ? BYTES.exec(line)?.[1] : undefined;
  if (bytes !== undefined) return utf8.decode(Uint8Array.from(bytes.split(','), Number));
  const untabbed = line.includes('\\t') ? line.replace(TAB, ' ') : line;
  return line.includes('&') ? untabbed.replace(BLANK, ' ') : untabbed;
}
