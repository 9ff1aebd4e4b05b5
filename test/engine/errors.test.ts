import assert from 'node:assert/strict';
import { it } from 'node:test';
import { ENGINE_ERRORS, EngineError, type EngineErrorCode } from '../../engine/errors.js';

it('every error of the engine says what happened, where, why and what to do', () => {
  for (const code of Object.keys(ENGINE_ERRORS) as EngineErrorCode[]) {
    const error = new EngineError(code, 'here', 'because');
    assert.equal(error.message, `${ENGINE_ERRORS[code].what}: here: because`);
    assert.match(error.what, /^[a-z].*[^.]$/);
    assert.match(error.advice, /^[a-z].*[^.]$/);
    assert.equal(new EngineError(code, 'here').message, `${error.what}: here`);
  }
});
