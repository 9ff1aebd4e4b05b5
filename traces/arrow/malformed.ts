/** Stored bytes that contradict themselves; the message says how. It is a RangeError, as what a DataView throws is. */
export class Malformed extends RangeError {
  override readonly name = 'Malformed';
}
