/** The monitors that a run can have. */
import type { MonitorKind } from './monitor.js';
import { ymir } from './ymir.js';

export const MONITORS: ReadonlyMap<string, MonitorKind> = new Map([ymir].map((kind) => [kind.name, kind]));
