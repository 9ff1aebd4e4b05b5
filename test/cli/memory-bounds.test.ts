import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { describeError, formatError } from '../../cli/errors.js';

test('a thread whose heap is full is no defect: one line says what to do', async () => {
  const hungry = 'const all = []; for (;;) all.push(new Array(1000).fill({}));';
  const worker = new Worker(hungry, { eval: true, resourceLimits: { maxOldGenerationSizeMb: 8 } });
  const [error] = await once(worker, 'error');
  const described = describeError(error) ?? assert.fail(String(error));
  assert.equal(described.code, 'ERR_WORKER_OUT_OF_MEMORY');
  assert.match(formatError(described), /thread is full.*--max-old-space-size=/);
});
