/** How far an input is behind what it tells of. */

/**
 * The recording's clock and ours have no common zero. The shortest time that an event ever took to get here stands for
 * none at all; what later ones take beyond that is the lag.
 */
export class Lag {
  #least = Number.POSITIVE_INFINITY;
  /** Milliseconds that the newest events came later than the quickest. */
  behind = 0;

  /** Takes the time of the newest event, in ns of the recording, and when it came, in ms of ours. */
  arrived(newestNs: number, nowMs: number): void {
    const delay = nowMs - newestNs / 1e6;
    this.#least = Math.min(this.#least, delay);
    this.behind = delay - this.#least;
  }
}
