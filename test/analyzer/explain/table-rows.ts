/** Tables as sqlite3 and psql print them, for the tests of what they broke. */

export type Row = readonly [time: string, text: string, host: string];

/** The lines of a text, each in a row of its own. */
export const rowsOf = (text: string): Row[] =>
  text
    .trimEnd()
    .split('\n')
    .map((line, i): Row => [`07:${String(18 + Math.floor(i / 60))}:${String(i % 60).padStart(2, '0')}`, line, 'host1']);

/** What a cell of as many characters has in each of its lines. */
export const piecesOf = (text: string, width: number): string[] =>
  Array.from({ length: Math.max(1, Math.ceil(text.length / width)) }, (_, i) =>
    text.slice(i * width, (i + 1) * width).padEnd(width),
  );

export const blank = (text: string): string => ' '.repeat(text.length);

/** A row whose text is wider than its column, with dividers all around. */
export const divided = ([time, text, host]: Row, width: number, by: string): string[] =>
  piecesOf(text, width).map((piece, i) => {
    const [front, back] = i === 0 ? [time, host] : [blank(time), blank(host)];
    return `${by} ${front} ${by} ${piece} ${by} ${back} ${by}`;
  });

/** The same of psql, which marks the breaks. */
export function psqlWrapped([time, text, host]: Row, width: number): string[] {
  const pieces = piecesOf(text, width);
  return pieces.map((piece, i) => {
    const goesOn = i < pieces.length - 1 ? '.' : ' ';
    return i === 0 ? ` ${time} | ${piece}${goesOn}| ${host}` : ` ${blank(time)} |.${piece}${goesOn}| ${blank(host)}`;
  });
}
