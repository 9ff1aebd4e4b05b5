/**
 * Who may ask: a page that this server itself sent, from this machine. A web site elsewhere can make a browser send
 * requests to 127.0.0.1, or give its own name that address (DNS rebinding); both are told by Host and Origin.
 */
import type { NextFunction, Request, Response } from 'express';
import { WebError } from './errors.js';
import { PARAMETER_LIMITS } from './parameters.js';

/** Nothing from elsewhere, nothing inline, nothing embedded (Content Security Policy Level 3). */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

const HEADERS: { readonly [name: string]: string } = {
  'Content-Security-Policy': POLICY,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

const NAMES = ['127.0.0.1', 'localhost'] as const;

/** Checks method, Host, Origin and Sec-Fetch-Site, and sets the headers that every answer has. */
export function guard(request: Request, response: Response, next: NextFunction): void {
  response.set(HEADERS);
  if (request.method !== 'GET' && request.method !== 'HEAD') throw new WebError('WRONG_METHOD', request.method);
  if (request.url.length > PARAMETER_LIMITS.url) throw new WebError('BAD_PARAMETER', 'address', 'too long');
  const port = request.socket.localPort ?? 0;
  const hosts: readonly string[] = NAMES.flatMap((name) => (port === 80 ? [name, `${name}:80`] : [`${name}:${port}`]));
  const host = request.headers.host ?? '';
  // a request has one Host, and what a whole URL asks for is what it names (RFC 9112, 3.2): no browser sends others here
  if (request.headersDistinct.host?.length !== 1 || !request.url.startsWith('/')) throw new WebError('FOREIGN_HOST');
  if (!hosts.includes(host.toLowerCase())) throw new WebError('FOREIGN_HOST');
  const { origin } = request.headers;
  if (origin !== undefined && origin !== `http://${host}`) throw new WebError('FOREIGN_ORIGIN');
  const site = request.headers['sec-fetch-site'];
  const opened = request.headers['sec-fetch-mode'] === 'navigate' && !request.path.startsWith('/api/');
  if (site !== undefined && site !== 'same-origin' && site !== 'none' && !opened) throw new WebError('FOREIGN_ORIGIN');
  next();
}
