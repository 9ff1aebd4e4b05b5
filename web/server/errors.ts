/** Errors of the web room: what the server answers, and why it does not start. */

interface WebErrorSpec {
  readonly status: number;
  readonly what: string;
  readonly advice: string;
}

export const WEB_ERRORS = {
  FOREIGN_HOST: { status: 403, what: 'this host name is not served', advice: 'open the address that trapline printed' },
  FOREIGN_ORIGIN: { status: 403, what: 'requests from other sites are refused', advice: 'open the page itself' },
  WRONG_METHOD: { status: 405, what: 'the server only reads', advice: 'use GET' },
  NO_SUCH_PAGE: { status: 404, what: 'no such page', advice: 'start at /' },
  NO_SUCH_TRACE: { status: 404, what: 'no such trace', advice: 'choose one that is served' },
  NO_SUCH_EVENT: {
    status: 404,
    what: 'no such event, or its part of the file cannot be read',
    advice: 'choose another',
  },
  BAD_PARAMETER: { status: 400, what: 'bad parameter', advice: 'correct it in the address' },
  UNREADABLE: { status: 422, what: 'the trace cannot be read there', advice: 'run trapline verify on it' },
  ANSWER_TOO_LARGE: {
    status: 422,
    what: 'the answer would be too large',
    advice: 'ask for less: a filter, fewer bins',
  },
  FAILED: { status: 500, what: 'the server failed', advice: 'see its terminal' },
} as const satisfies { readonly [code: string]: WebErrorSpec };
export type WebErrorCode = keyof typeof WEB_ERRORS;

/** `where` names the parameter, trace or event; `why` says what is wrong with it. */
export class WebError extends Error {
  readonly code: WebErrorCode;
  readonly status: number;
  readonly what: string;
  readonly where: string | null;
  readonly why: string | null;
  readonly advice: string;

  constructor(code: WebErrorCode, where: string | null = null, why: string | null = null) {
    super([WEB_ERRORS[code].what, where, why].filter((part) => part !== null).join(': '));
    this.name = 'WebError';
    this.code = code;
    this.status = WEB_ERRORS[code].status;
    this.what = WEB_ERRORS[code].what;
    this.where = where;
    this.why = why;
    this.advice = WEB_ERRORS[code].advice;
  }
}
