/** What usually breaks a rule, by families of checks; the first family that an id belongs to counts. */
export type CauseFamily = readonly [ids: RegExp, cause: string];

/** The causes of a row: its own, or that of its family. */
export function causesOf(
  id: string,
  own: string | undefined,
  families: readonly CauseFamily[],
): { readonly causes?: readonly string[] } {
  const cause = own ?? families.find(([ids]) => ids.test(id))?.[1];
  return cause === undefined ? {} : { causes: [cause] };
}
