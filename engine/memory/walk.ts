/** What a page walk answers; one object reused, so that a TLB miss allocates nothing. */

/** Bits of the access that a walk is for. `implicit`: a supervisor access whatever the CPL (descriptor tables). */
export const ACCESS = { write: 1, user: 2, fetch: 4, implicit: 8 } as const;

export class Walk {
  /** Physical page frames (address / 4096) as the guest and as the machine number them. */
  guestFrame = 0;
  hostFrame = 0;
  /** A later store needs no walk: permission is given and dirty bits are set. */
  writable = false;
  global = false;
  /** FAULT value: none, exception (#PF with `errorCode`), ept_violation or ept_misconfig (with the two below). */
  fault = 0;
  errorCode = 0;
  qualification = 0n;
  faultGpa = 0;
}
