/** Form of requests to the page's server, sent as they are: methods, addresses, parameters, headers. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serve } from '../../cli/serve.js';
import { importTrace } from '../../recorder/import/import.js';
import { memorySource } from '../../recorder/import/source.js';
import { createTrace, openTrace } from '../../traces/open.js';
import { WEB_ERRORS } from '../../web/server/errors.js';
import { fixture } from '../recorder/import-helpers.js';
import { mutateText } from './mutate.js';
import type { Form, Outcome } from './run.js';

const PATHS = [
  '/',
  '/client.js',
  '/api/traces',
  '/api/traces/0',
  '/api/traces/0/view?axis=time&from=0&to=30000000000&bins=64&kind=exit,entry&level=1,none',
  '/api/traces/0/nearest?axis=seq&lane=0&x=12.5&reason=EXIT_NPF&text=rip',
  '/api/traces/0/step?seq=10&direction=-1&failures=1&vcpu=0',
  '/api/traces/0/events/42',
  '/api/traces/0/profile',
];
const WORDS = [
  ...[
    '/../../etc/passwd',
    '/%2e%2e/%2e%2e/etc/passwd',
    '%00',
    '%c0%af',
    '\\..\\',
    '//',
    '/api/traces/99',
    '?__proto__=1',
  ],
  ...[
    '&bins=4097',
    '&bins=1e3',
    '&from=-1e16',
    '&to=NaN',
    '&lane=65536',
    '&text=',
    '&kind=\\,',
    '&seq=9007199254740993',
  ],
  ...['&axis=tick', '&axis=step', 'POST ', 'OPTIONS ', 'CONNECT ', 'Host: evil.example\r\n', 'Origin: null\r\n'],
  ...['Origin: http://evil.example\r\n', 'Sec-Fetch-Site: cross-site\r\n', 'Transfer-Encoding: chunked\r\n'],
  ...['Content-Length: 99999999999\r\n', 'Content-Length: 5\r\n', 'Expect: 100-continue\r\n', 'Upgrade: websocket\r\n'],
  ...[
    'Range: bytes=0-1,2-3,9999-\r\n',
    'Accept-Encoding: gzip\r\n',
    'If-None-Match: *\r\n',
    ' HTTP/0.9',
    ' HTTP/3.0',
    '\r\n\r\n',
  ],
];
/** What the server and Node's own parser may answer; no failure of the server is among them. */
const STATUSES = new Set([200, 206, 304, 400, 403, 404, 405, 408, 412, 413, 414, 416, 417, 422, 431]);
const ANSWER_MS = 20_000;
/** A request that is still not whole then gets no more. */
const MORE_MS = 300;

/** Ends whatever a mutation left open: its headers. */
const END = '\r\n\r\n';

/** Sends bytes and takes the first answer, or what there is of it when the server hangs up. */
function ask(port: number, bytes: Uint8Array): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let answer: Buffer = Buffer.alloc(0);
    const socket = connect(port, '127.0.0.1', () => socket.write(Buffer.concat([bytes, Buffer.from(END)])));
    const more = setTimeout(() => socket.end(), MORE_MS);
    const done = (): void => {
      clearTimeout(more);
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(ANSWER_MS, () => {
      socket.destroy();
      reject(new Error('no answer'));
    });
    socket.on('data', (part: Buffer) => {
      answer = Buffer.concat([answer, part]);
      if (isWhole(answer)) done();
    });
    socket.on('error', done); // the server hung up on what it does not read
    socket.on('close', done);
  });
}

/** The answer behind the one that only says to go on (RFC 9110, 15.2.1). */
const CONTINUE = 'HTTP/1.1 100 Continue\r\n\r\n';
const finalOf = (answer: Buffer): Buffer =>
  answer.toString('latin1', 0, CONTINUE.length) === CONTINUE ? answer.subarray(CONTINUE.length) : answer;

function isWhole(given: Buffer): boolean {
  const answer = finalOf(given);
  const end = answer.indexOf(END);
  if (end < 0) return false;
  const length = Number(/^content-length: (\d+)$/im.exec(answer.toString('latin1', 0, end))?.[1] ?? -1);
  return length >= 0 && answer.length >= end + END.length + length;
}

/** Status and body of the first answer; null where the server only hung up. */
function first(answer: Buffer): { status: number; type: string; body: string } | null {
  if (answer.length === 0) return null;
  const text = finalOf(answer).toString('latin1');
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(text)?.[1] ?? 0);
  const head = text.slice(0, Math.max(0, text.indexOf('\r\n\r\n')));
  const length = Number(/^content-length: (\d+)$/im.exec(head)?.[1] ?? 0);
  const body = text.slice(head.length + 4, head.length + 4 + length);
  return { status, type: /^content-type: (.*)$/im.exec(head)?.[1] ?? '', body };
}

function checkAnswer(answer: Buffer): Outcome {
  const found = first(answer);
  if (found === null) return 'stopped';
  const { status, type, body } = found;
  assert.ok(STATUSES.has(status), `${status} ${body.slice(0, 200)}`);
  assert.ok(!body.includes('root:'), 'a file of the host');
  if (!type.startsWith('application/json') || body === '') return status < 400 ? 'whole' : 'refused';
  const said: unknown = JSON.parse(Buffer.from(body, 'latin1').toString('utf8'));
  if (status < 400) return 'whole';
  const { code } = said as { code: keyof typeof WEB_ERRORS };
  assert.equal(WEB_ERRORS[code].status, status);
  return 'refused';
}

export async function requestForms(): Promise<readonly Form[]> {
  const folder = mkdtempSync(join(tmpdir(), 'trapline-fuzz-http-'));
  const path = join(folder, 'a.arrow');
  importTrace(memorySource(Buffer.from(fixture('svm-nested.report.txt')), 'seed'), () => createTrace(path));
  const reports: string[] = [];
  const server = await serve({ traces: [openTrace(path)], port: 0, report: (line) => reports.push(line) });
  const port = Number(new URL(server.url).port);
  process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
  const seeds = PATHS.map((each) =>
    Buffer.from(`GET ${each} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\nAccept: */*\r\n\r\n`),
  );
  return [
    {
      name: 'http',
      seeds,
      mutate: (original, random) => Buffer.from(mutateText(Buffer.from(original).toString('utf8'), WORDS, random)),
      check: async (input) => {
        const outcome = checkAnswer(await ask(port, input));
        assert.deepEqual(reports, [], 'a defect of the server');
        return outcome;
      },
      close: () => server.close(),
    },
  ];
}
