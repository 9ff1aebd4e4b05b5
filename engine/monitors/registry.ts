/** The monitors that a run can have. */
import type { MonitorKind } from './monitor.js';
import { vmware } from './vmware.js';
import { ymir } from './ymir.js';

export const MONITORS: ReadonlyMap<string, MonitorKind> = new Map([vmware, ymir].map((kind) => [kind.name, kind]));
