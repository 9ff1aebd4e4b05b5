/** What stands in front of every line of a dump in a comment, in a mail or in a change. */

/** Signs of comments in any language, of quotes, and of lines that a change adds or takes away. Headings have three stars. */
const MARK = /^(?:\s*(?:[>|#%;!+]+|\/\/+|::|--?|\*(?=\s|$)|(?:REM|dnl)(?=\s|$)))+/;

/** The mark in front of a line; empty where it has none. */
export const markOf = (line: string): string => MARK.exec(line)?.[0].trim() ?? '';

/** A line without a mark; null where it has another or none. One that has more keeps that, as a heading of a quote. */
export function unmarked(line: string, mark: string): string | null {
  if (mark === '' || !markOf(line).startsWith(mark)) return null;
  return line.slice(line.indexOf(mark) + mark.length);
}

/** A heading between fragments that were put together, or a prompt of root. */
const HEADING = /^\s*#+\s*\S/;
/** The names of commands are of small letters. */
const PROMPT = /^\s*#\s*[a-z./]/;

/** What a line of no dump is that comes between two; null where it is any other. */
export function between(line: string): 'heading' | 'prompt' | null {
  if (!HEADING.test(line)) return null;
  return PROMPT.test(line) ? 'prompt' : 'heading';
}
