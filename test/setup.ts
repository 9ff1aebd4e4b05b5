/** Loaded before every test file: property tests take the same values in every run. TRAPLINE_SEED chooses others. */
import fc from 'fast-check';

fc.configureGlobal({ seed: Number(process.env.TRAPLINE_SEED ?? 0x7472_6170) });
