/** CPU models by name. */
import type { CpuModel } from '../model.js';
import { skylake } from './skylake.js';

export const MODELS: ReadonlyMap<string, CpuModel> = new Map([skylake].map((model) => [model.name, model]));
