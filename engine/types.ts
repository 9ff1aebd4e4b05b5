/**
 * The units and address spaces of the machine, as distinct types: an address of one space never passes for another,
 * a tick never for a step. Values are made with the constructors below and carry no cost at run time.
 */
declare const brand: unique symbol;
type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Guest virtual (linear) address, 64 bits. */
export type Gva = Brand<bigint, 'Gva'>;
/** Guest physical address: below 2^52, hence exact as a number. */
export type Gpa = Brand<number, 'Gpa'>;
/** Host physical address of the machine's RAM or devices: below 2^52. */
export type Hpa = Brand<number, 'Hpa'>;
/** The machine's only clock: see the words of ARCHITECTURE.md. Below 2^53. */
export type Tick = Brand<number, 'Tick'>;
/** Retired instructions of one vCPU. */
export type Step = Brand<number, 'Step'>;
/** Whose code runs: 0 is the bottom hypervisor, 1 its guest, 2 the guest's guest. */
export type Level = Brand<number, 'Level'>;

export const gva = (value: bigint): Gva => BigInt.asUintN(64, value) as Gva;
export const gpa = (value: number): Gpa => value as Gpa;
export const hpa = (value: number): Hpa => value as Hpa;
export const tick = (value: number): Tick => value as Tick;
export const step = (value: number): Step => value as Step;
export const level = (value: number): Level => value as Level;
