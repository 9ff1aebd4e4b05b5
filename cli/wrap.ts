/** Paragraphs broken into lines. */
import { widthOf } from './table.js';

/** Columns of what is broken into lines, on a terminal or in a pipe. */
export const WIDTH = 80;

/** Breaks a paragraph at blanks into lines of at most `width` characters; colour codes take no room. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && widthOf(line) + 1 + widthOf(word) > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return [...lines, line];
}
