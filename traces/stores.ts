/** The stores, by the end of a trace's name. */
import { arrowStore } from './arrow/store.js';
import type { Store } from './sink.js';
import { sqliteStore } from './sqlite/backend.js';

export const STORES: Readonly<Record<Store['name'], Store>> = { sqlite: sqliteStore, arrow: arrowStore };
