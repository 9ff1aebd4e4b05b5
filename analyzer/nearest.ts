/** The name that someone may have meant who typed one that is none. */

/** Edit distance with transpositions (optimal string alignment). */
export function distance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, (previous[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, (before[j - 2] ?? 0) + 1);
      current.push(cost);
    }
    before = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}

const lower = (name: string): string => name.toLowerCase();

/** The name closest to what was typed, where one is close: a third of its letters wrong at the most. Case is none of them. */
export function nearest(typed: string, names: readonly string[]): string | null {
  const wanted = lower(typed);
  let best: string | null = null;
  let least = Math.max(1, Math.ceil(typed.length / 3)) + 1;
  for (const name of names) {
    const cost = lower(name).startsWith(wanted) && typed !== '' ? 1 : distance(wanted, lower(name));
    if (cost < least) {
      best = name;
      least = cost;
    }
  }
  return best;
}
