/** The server of the page: 127.0.0.1 alone, the given traces alone, nothing but questions. */
import { createServer, type Server } from 'node:http';
import { fileURLToPath } from 'node:url';
import express, { type NextFunction, type Request, type Response } from 'express';
import type { Axis, Overview } from '../../analyzer/timeline-answers.js';
import { WebError } from './errors.js';
import { guard } from './guard.js';
import { FILTER_PARAMETERS, PARAMETER_LIMITS, Parameters, SCOPE_PARAMETERS } from './parameters.js';
import { type GivenTrace, ServedTrace } from './traces.js';

/** No answer is larger than this. */
export const MAX_ANSWER_BYTES = 2 * 1024 * 1024;
/** Folder of the page, beside this file when built. */
const CLIENT = fileURLToPath(new URL('../client/', import.meta.url));
const PAGES = ['index.html', 'client.js', 'client.css', 'icon.svg'] as const;

export interface ServerOptions {
  readonly traces: readonly GivenTrace[];
  /** 0 to 65535; 0: any that is free. */
  readonly port: number;
  /** Told of failures that are the server's own. */
  readonly report: (line: string) => void;
}

export interface RunningServer {
  /** The address to open. */
  readonly url: string;
  close(): Promise<void>;
}

/** Starts to serve; rejects with the system's error where the port is taken or not allowed. */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const server = createServer({ maxHeaderSize: 16 * 1024, requestTimeout: 30_000 }, application(options));
  await listen(server, options.port);
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : options.port;
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
}

type Answer = (request: Request) => Promise<unknown>;

function application({ traces, report }: ServerOptions): express.Express {
  const served = distinct(traces).map((given) => new ServedTrace(given));
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  // `guard` goes by the address as it is written
  app.enable('case sensitive routing');
  app.use(guard);
  for (const [path, answer] of Object.entries(routes(served))) {
    app.get(path, async (request, response) => {
      send(response, await answer(request));
    });
  }
  for (const page of PAGES) {
    app.get(page === 'index.html' ? ['/', '/index.html'] : `/${page}`, (_request, response, next) => {
      response.sendFile(page, { root: CLIENT, cacheControl: false }, (error) => {
        if (error !== undefined && error !== null)
          next(response.headersSent ? error : new WebError('NO_SUCH_PAGE', page));
      });
    });
  }
  app.use((request: Request) => {
    throw new WebError('NO_SUCH_PAGE', request.path.slice(0, 100));
  });
  app.use((error: unknown, _request: Request, response: Response, _next: NextFunction) =>
    fail(error, response, report),
  );
  return app;
}

/** Traces of one name get a number behind it, for a name is what an address of the page has. */
function distinct(traces: readonly GivenTrace[]): GivenTrace[] {
  const seen = new Map<string, number>();
  return traces.map((given) => {
    const count = (seen.get(given.name) ?? 0) + 1;
    seen.set(given.name, count);
    return count === 1 ? given : { name: `${given.name} (${count})`, open: (progress) => given.open(progress) };
  });
}

/** Each question, by its path. */
function routes(served: readonly ServedTrace[]): { readonly [path: string]: Answer } {
  const traceOf = (request: Request, name: 'id' | 'other' = 'id'): ServedTrace => {
    const id = String(request.params[name]);
    const trace = /^\d{1,6}$/.test(id) ? served[Number(id)] : undefined;
    if (trace === undefined) throw new WebError('NO_SUCH_TRACE', id.slice(0, 40));
    return trace;
  };
  return {
    '/api/traces': async (request) => {
      parametersOf(request, []);
      return served.map((trace, id) => trace.state(id));
    },
    '/api/traces/:id': async (request) => {
      parametersOf(request, []);
      return (await traceOf(request).open()).timeline.overview;
    },
    '/api/traces/:id/view': async (request) => {
      const parameters = parametersOf(request, ['axis', 'from', 'to', 'bins', ...FILTER_PARAMETERS]);
      const axis = parameters.axis();
      const { from, to } = parameters.stretch();
      const bins = parameters.integer('bins', 1, PARAMETER_LIMITS.bins);
      const { timeline } = await traceOf(request).open();
      demandAxis(timeline.overview, axis);
      return timeline.view({ axis, from, to, bins }, parameters.filter());
    },
    '/api/traces/:id/nearest': async (request) => {
      const parameters = parametersOf(request, ['axis', 'lane', 'x', ...FILTER_PARAMETERS]);
      const lane = parameters.integer('lane', 0, 0xffff);
      const { timeline } = await traceOf(request).open();
      return timeline.nearest(parameters.axis(), lane, parameters.number('x'), parameters.filter());
    },
    '/api/traces/:id/step': async (request) => {
      const parameters = parametersOf(request, ['seq', 'direction', 'failures', ...FILTER_PARAMETERS]);
      const seq = parameters.integer('seq', -1, Number.MAX_SAFE_INTEGER);
      const direction = parameters.integer('direction', -1, 1);
      if (direction === 0) throw new WebError('BAD_PARAMETER', 'direction', '1 or -1');
      const { timeline } = await traceOf(request).open();
      return timeline.step(seq, direction === 1 ? 1 : -1, parameters.filter(), parameters.has('failures'));
    },
    '/api/traces/:id/events/:seq': async (request) => {
      parametersOf(request, []);
      const seq = String(request.params.seq);
      if (!/^\d{1,15}$/.test(seq)) throw new WebError('BAD_PARAMETER', 'seq', 'not a whole number');
      const detail = await (await traceOf(request).open()).details.of(Number(seq));
      if (detail === null) throw new WebError('NO_SUCH_EVENT', seq);
      return detail;
    },
    '/api/traces/:id/profile': async (request) => {
      const scope = parametersOf(request, SCOPE_PARAMETERS).scope();
      const { timeline } = await traceOf(request).open();
      if (scope.window !== null) demandAxis(timeline.overview, scope.window.axis);
      return timeline.profile(scope);
    },
    '/api/traces/:id/flame': async (request) => {
      const scope = parametersOf(request, SCOPE_PARAMETERS).scope();
      const { timeline } = await traceOf(request).open();
      if (scope.window !== null) demandAxis(timeline.overview, scope.window.axis);
      return timeline.flame(scope);
    },
    '/api/traces/:id/compare/:other': async (request) => {
      const without = parametersOf(request, ['without']).names('without');
      return traceOf(request).comparison(traceOf(request, 'other'), without);
    },
  };
}

function demandAxis({ axes }: Overview, axis: Axis): void {
  if (axes[axis] === undefined) throw new WebError('BAD_PARAMETER', 'axis', 'the trace has none');
}

function parametersOf(request: Request, known: readonly string[]): Parameters {
  const at = request.originalUrl.indexOf('?');
  return new Parameters(new URLSearchParams(at < 0 ? '' : request.originalUrl.slice(at + 1)), known);
}

function send(response: Response, answer: unknown): void {
  const body = Buffer.from(JSON.stringify(answer));
  if (body.length > MAX_ANSWER_BYTES) throw new WebError('ANSWER_TOO_LARGE');
  response.type('application/json').send(body);
}

/** One object for every failure: { code, what, where, why, advice }. */
function fail(error: unknown, response: Response, report: (line: string) => void): void {
  const known = error instanceof WebError ? error : translate(error, report);
  const { code, status, what, where, why, advice } = known;
  if (response.headersSent) response.destroy();
  else response.status(status).type('application/json').send(JSON.stringify({ code, what, where, why, advice }));
}

function translate(error: unknown, report: (line: string) => void): WebError {
  if (error instanceof URIError) return new WebError('BAD_PARAMETER', 'address', 'malformed escape');
  // errors of the trace room carry a code and say where; anything else is a defect of ours
  if (error instanceof Error && 'code' in error && typeof error.code === 'string' && !error.code.startsWith('ERR_')) {
    return new WebError('UNREADABLE', null, `${error.code} ${error.message}`.slice(0, 500));
  }
  report(error instanceof Error ? (error.stack ?? error.message) : String(error));
  return new WebError('FAILED');
}
