import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Flame, Overview, ProfileTable, View } from '../../analyzer/timeline-answers.js';
import type { Comparison } from '../../analyzer/timeline-compare-answers.js';
import { serve } from '../../cli/serve.js';
import { EVENT_KINDS } from '../../engine/observer.js';
import { createTrace, openTrace } from '../../traces/open.js';
import type { TraceReader } from '../../traces/store.js';
import { WEB_ERRORS } from '../../web/server/errors.js';
import { MAX_ANSWER_BYTES, type RunningServer, startServer } from '../../web/server/server.js';
import { writeSynthetic } from './synthetic.js';

const folder = mkdtempSync(join(tmpdir(), 'trapline-server-'));

interface Answer {
  readonly status: number;
  readonly headers: { readonly [name: string]: string | string[] | undefined };
  readonly body: string;
}

/** `raw`: a path that is sent as it is, where a URL would be tidied. */
function ask(url: string, headers: { [name: string]: string } = {}, method = 'GET', raw?: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const path = raw ?? new URL(url).pathname + new URL(url).search;
    const asked = request(url, { method, headers, path }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(parts).toString() }),
      );
    });
    asked.on('error', reject);
    asked.end();
  });
}

describe('server of the page', () => {
  const readers: TraceReader[] = [];
  let server: RunningServer;
  const reports: string[] = [];
  const api = (path: string, headers?: { [name: string]: string }): Promise<Answer> =>
    ask(`${server.url}api/${path}`, headers);
  const code = async (path: string, status: number, expected: keyof typeof WEB_ERRORS): Promise<void> => {
    const { status: got, body } = await api(path);
    assert.deepEqual([got, JSON.parse(body).code], [status, expected], path);
  };

  before(async () => {
    const path = join(folder, 'run.arrow');
    writeSynthetic(createTrace(path), { events: 20_000, vcpus: 2, seed: 5, clock: 'engine' });
    const hostile = join(folder, '<img src=x onerror=alert(1)>.arrow');
    const writer = createTrace(hostile);
    const markup = `</script><img src=x onerror="alert(1)">${'&'.repeat(100_000)}`;
    writer.setRun('source', markup);
    writer.define('reason.vmx', 10, markup);
    writer.define('vcpu', 0, markup);
    const level = { from_level: 1, to_level: 0 };
    writer
      .table('event')
      .row({ seq: 0, tick: 1, vcpu: 0, kind: EVENT_KINDS.exit, isa: 1, ...level, reason: 10, text: markup });
    writer.finish();
    readers.push(openTrace(path), openTrace(hostile));
    server = await serve({ traces: readers, port: 0, report: (line) => reports.push(line) });
  });
  after(async () => {
    await server.close();
    for (const reader of readers) reader.close();
    rmSync(folder, { recursive: true, force: true });
    assert.deepEqual(reports, [], 'no defect was reported');
  });

  it('sends the page with a policy that forbids everything foreign and inline', async () => {
    const { status, headers, body } = await ask(server.url);
    assert.equal(status, 200);
    assert.match(String(headers['content-type']), /^text\/html/);
    const policy = String(headers['content-security-policy']);
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.doesNotMatch(body, /<script(?![^>]*src=)|style=|\son\w+=/, 'the page itself has nothing inline');
    for (const file of ['client.js', 'client.css', 'icon.svg'])
      assert.equal((await ask(server.url + file)).status, 200);
  });

  it('answers nobody but its own page', async () => {
    const { host } = new URL(server.url);
    const port = host.split(':')[1];
    for (const wrong of [
      'evil.example',
      `evil.example:${port}`,
      '127.0.0.1',
      '127.0.0.1:1',
      `127.0.0.1.evil.example:${port}`,
    ]) {
      assert.equal((await ask(server.url, { host: wrong })).status, 403, wrong);
      assert.equal((await api('traces', { host: wrong })).status, 403, wrong);
    }
    assert.equal((await api('traces', { host: `localhost:${port}` })).status, 200);
    assert.equal((await api('traces', { origin: `http://${host}` })).status, 200);
    for (const origin of ['http://evil.example', 'null', `https://${host}`, `http://localhost:${port}`]) {
      assert.equal((await api('traces', { origin })).status, 403, origin);
    }
    assert.equal((await api('traces', { 'sec-fetch-site': 'cross-site' })).status, 403);
    assert.equal((await api('traces', { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' })).status, 403);
    assert.equal((await ask(server.url, { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' })).status, 200);
    const elsewhere = { 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' };
    for (const raw of ['/API/traces', '/Api/traces/0', '/api/traces/']) {
      assert.notEqual((await ask(server.url, elsewhere, 'GET', raw)).status, 200, raw);
    }
    assert.equal((await ask(server.url, {}, 'GET', 'http://evil.example/api/traces')).status, 403);
    const twice = `GET /api/traces HTTP/1.1\r\nHost: ${host}\r\nHost: evil.example\r\nConnection: close\r\n\r\n`;
    const socket = connect(Number(port), '127.0.0.1', () => socket.write(twice));
    assert.match((await socket.setEncoding('latin1').toArray()).join(''), /^HTTP\/1\.1 403 /);
    for (const method of ['POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE']) {
      assert.equal((await ask(`${server.url}api/traces`, {}, method)).status, 405, method);
    }
    for (const { headers } of [await api('traces'), await ask(server.url)]) {
      assert.equal(headers['access-control-allow-origin'], undefined);
    }
  });

  it('listens on the loopback address alone', async () => {
    assert.equal(new URL(server.url).hostname, '127.0.0.1');
    const { port } = new URL(server.url);
    await assert.rejects(ask(`http://127.0.0.2:${port}/`), /ECONNREFUSED/);
  });

  it('serves no file but its own, and no trace but those it was given', async () => {
    for (const path of [
      '../package.json',
      '..%2f..%2fpackage.json',
      'client.js.map',
      'main.ts',
      '%2e%2e/server/server.js',
      'index.html/../../server/server.js',
      '/etc/passwd',
    ]) {
      const { status } = await ask(server.url, {}, 'GET', `/${path}`);
      assert.equal(status, 404, path);
    }
    assert.equal((await ask(server.url, {}, 'GET', '/api/traces/%')).status, 400);
    for (const id of ['2', '-1', '0x0', '1e0', 'run.arrow', '999999999999', '..', '%2e%2e%2f', '__proto__']) {
      const { status } = await api(`traces/${id}`);
      assert.equal(status, 404, id);
    }
  });

  it('refuses parameters that it does not understand, and says which', async () => {
    const window = 'axis=tick&from=0&to=1000&bins=100';
    for (const wrong of [
      '',
      'axis=tick&from=0&to=1000',
      'axis=tick&from=0&to=1000&bins=0',
      'axis=tick&from=0&to=1000&bins=5000',
      'axis=tick&from=0&to=1000&bins=1.5',
      'axis=tick&from=0&to=1000&bins=NaN',
      'axis=tick&from=5&to=5&bins=10',
      'axis=tick&from=1e400&to=5&bins=10',
      'axis=tick&from=0&to=99999999999999999999&bins=10',
      'axis=tick&from=0x10&to=50&bins=10',
      'axis=time&from=0&to=1000&bins=100',
      'axis=constructor&from=0&to=1000&bins=100',
      `${window}&vcpu=x`,
      `${window}&vcpu=99999999999`,
      `${window}&level=256`,
      `${window}&text=${'a'.repeat(201)}`,
      `${window}&kind=${'a,'.repeat(300)}`,
      `${window}&from=1`,
      `${window}&other=1`,
    ]) {
      await code(`traces/0/view?${wrong}`, 400, 'BAD_PARAMETER');
    }
    await code('traces/0/events/1e3', 400, 'BAD_PARAMETER');
    await code('traces/0/events/20000', 404, 'NO_SUCH_EVENT');
    await code('traces/0/step?seq=-2&direction=1', 400, 'BAD_PARAMETER');
    await code('traces/0/step?seq=1&direction=0', 400, 'BAD_PARAMETER');
    await code('traces/0/nearest?axis=tick&lane=-1&x=0', 400, 'BAD_PARAMETER');
    await code(`traces/0/view?${window}&text=${'%20'.repeat(3000)}`, 400, 'BAD_PARAMETER');
    for (const path of ['profile', 'flame']) {
      await code(`traces/0/${path}?axis=tick`, 400, 'BAD_PARAMETER');
      await code(`traces/0/${path}?axis=tick&from=9&to=9`, 400, 'BAD_PARAMETER');
      await code(`traces/0/${path}?axis=time&from=0&to=9`, 400, 'BAD_PARAMETER');
      await code(`traces/0/${path}?reason=CPUID`, 400, 'BAD_PARAMETER');
    }
    for (const other of ['9', '-1', 'x', '0x1']) await code(`traces/0/compare/${other}`, 404, 'NO_SUCH_TRACE');
    await code('nothing', 404, 'NO_SUCH_PAGE');
  });

  it('answers with what the trace holds', async () => {
    const overview: Overview = JSON.parse((await api('traces/0')).body);
    assert.equal(overview.events, 20_000);
    const { from, to } = overview.axes.tick ?? { from: 0, to: 0 };
    const view: View = JSON.parse((await api(`traces/0/view?axis=tick&from=${from}&to=${to}&bins=500&kind=exit`)).body);
    const exits = overview.categories.reduce(
      (sum, { kind, failure, count }) => sum + (kind === 'exit' || failure ? count : 0),
      0,
    );
    assert.equal(
      view.totals.reduce((sum, value, i) => sum + (i % 2 === 1 ? value : 0), 0),
      exits,
    );
    const profile = JSON.parse((await api('traces/0/profile')).body);
    assert.equal(profile.exits, exits);
    const step = JSON.parse((await api('traces/0/step?seq=-1&direction=1&kind=entry')).body);
    assert.equal(overview.categories[step.category]?.kind, 'entry');
  });

  it('answers of a stretch with what begins there, and of its parts with as much as of the whole', async () => {
    const { from, to } = (JSON.parse((await api('traces/0')).body) as Overview).axes.tick ?? { from: 0, to: 0 };
    const middle = Math.round((from + to) / 3);
    const parts = [`axis=tick&from=${from}&to=${middle}`, `axis=tick&from=${middle}&to=${to}`];
    const profileOf = async (query: string): Promise<ProfileTable> =>
      JSON.parse((await api(`traces/0/profile?${query}`)).body);
    const whole = await profileOf('');
    const [first, second] = await Promise.all(parts.map(profileOf));
    assert.ok(first !== undefined && second !== undefined && first.exits > 0 && second.exits > 0);
    assert.equal(first.exits + second.exits, whole.exits);
    assert.equal(first.handled + second.handled, whole.handled);
    assert.equal(first.lost + second.lost, whole.lost);
    const spent = whole.spent.map(({ lines, ...by }) => ({
      ...by,
      lines: lines.map((line) => ({ ...line, unobserved: null })),
    }));
    assert.ok(whole.time !== null && whole.time.guest > 0 && whole.time.outside > 0 && spent.length > 0);
    for (const query of ['vcpu=0,1', `axis=tick&from=${from}&to=${to}`]) {
      const made = await profileOf(query);
      assert.deepEqual(made, { ...whole, spent }, 'made from the events, it is the same as from the kept index');
    }
    assert.equal((first.time?.guest ?? 0) + (second.time?.guest ?? 0), whole.time.guest);
    assert.equal((first.time?.outside ?? 0) + (second.time?.outside ?? 0), whole.time.outside);
    for (const { histogram, times, count } of whole.lines) {
      const held = histogram.filter((_, i) => i % 3 === 2).reduce((sum, each) => sum + each, 0);
      assert.ok(times === null ? held === 0 : held > 0 && held <= count);
      for (let i = 0; i < histogram.length; i += 3) assert.ok((histogram[i] ?? 0) < (histogram[i + 1] ?? 0));
    }
    const { frames }: Flame = JSON.parse((await api('traces/0/flame')).body);
    assert.equal(frames[0]?.exits, whole.exits);
    assert.equal(frames[0]?.time, whole.handled);
    const sums = new Map<number, number>();
    for (const { parent, exits } of frames) sums.set(parent, (sums.get(parent) ?? 0) + exits);
    for (const [parent, sum] of sums) assert.ok(parent < 0 || sum <= (frames[parent]?.exits ?? 0));
  });

  it('finds no difference between a trace and itself', async () => {
    const same: Comparison = JSON.parse((await api('traces/0/compare/0')).body);
    assert.deepEqual([same.vanished, same.appeared, same.hunks, same.first], [0, 0, 0, null]);
    assert.equal(same.matched, same.exits[0]);
    assert.deepEqual(same.times, []);
    assert.ok(same.reasons.every((each) => each.left === each.right));
  });

  it('sends names of a hostile trace as text, and only their beginning', async () => {
    const { headers, body } = await api('traces/1');
    assert.match(String(headers['content-type']), /^application\/json/);
    assert.ok(body.length < 10_000);
    const overview: Overview = JSON.parse(body);
    assert.equal(overview.name, '<img src=x onerror=alert(1)>.arrow');
    assert.ok(overview.lanes.every(({ name }) => name.length <= 120));
    for (const path of [
      'traces',
      'traces/1/events/0',
      'traces/1/profile',
      'traces/1/flame',
      'traces/1/compare/0',
      'traces/1/view?axis=tick&from=0&to=9&bins=9',
    ]) {
      const answer = await api(path);
      assert.equal(answer.status, 200, path);
      assert.match(String(answer.headers['content-type']), /^application\/json/);
      assert.ok(answer.body.length < 20_000, path);
    }
  });

  it('keeps every answer within its bound', async () => {
    const { from, to } = (JSON.parse((await api('traces/0')).body) as Overview).axes.tick ?? { from: 0, to: 0 };
    for (const path of ['profile', 'flame', 'compare/1']) {
      assert.ok((await api(`traces/0/${path}`)).body.length < MAX_ANSWER_BYTES / 2);
    }
    for (const bins of [1, 100, 4096]) {
      const { body } = await api(`traces/0/view?axis=tick&from=${from}&to=${to}&bins=${bins}`);
      assert.ok(body.length < MAX_ANSWER_BYTES / 2);
    }
  });

  it('says when its port is taken', async () => {
    const port = Number(new URL(server.url).port);
    await assert.rejects(startServer({ traces: [], port, report: () => {} }), { code: 'EADDRINUSE' });
  });

  it('documents every error with what to do', () => {
    for (const [name, { status, what, advice }] of Object.entries(WEB_ERRORS)) {
      assert.match(name, /^[A-Z_]+$/);
      assert.ok(status >= 400 && status < 600 && what.length > 5 && advice.length > 5);
    }
  });
});
