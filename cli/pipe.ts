/** Who reads stdout: where the product of a command is elsewhere, it goes on when nobody does any more. */
export const stdoutReader = { optional: false };
