/**
 * The thread that tells of the end of a store's worker; see threaded.ts. Whatever ends a thread closes its ports, and the
 * other side hears of it (Node, worker_threads, MessagePort, Event: 'close'), also where the thread ran out of heap and
 * could run no code of its own. But its owner listens to no event while it waits.
 */
import { parentPort } from 'node:worker_threads';
import { SHARED, type Watch } from './exchange.js';

// a port that came with the thread's start may be closed before anybody here listens; one that comes in a message is not
parentPort?.once('message', ({ life, shared }: Watch) => {
  const words = new Int32Array(shared);
  life.on('close', () => {
    Atomics.store(words, SHARED.ended, 1);
    Atomics.notify(words, SHARED.answered);
  });
  life.ref(); // this thread ends with the one that it watches
});
