/** Forms of what a person writes: budgets, inputs of a run, settings of a guest program. */
import assert from 'node:assert/strict';
import { BudgetError, readBudgets } from '../../analyzer/budget.js';
import { InputFileError, parseInputs } from '../../recorder/run/inputs.js';
import { GUESTS } from '../../traces/guests/catalogue.js';
import { commandLine, readSetting } from '../../traces/guests/guest.js';
import { mutateText } from './mutate.js';
import type { Form, Outcome } from './run.js';

const BUDGET = `# exits.budget
exits.total <= baseline        # not one exit more
exits.EPT_VIOLATION <= 120
exits.L1.CPUID == baseline
failed.total == 0
ticks.MSR_WRITE <= baseline + 5%
latency.p99.CR_ACCESS <= 20us
latency.mean.NPF < baseline + 1.5ms
`;

const INPUTS = `# keys
20000 com1 "hello\\n"

40000 com1 "\\u00ff\\u0000"
9007199254740991 backdoor "log x"
`;

const SETTINGS = [...GUESTS.values()]
  .flatMap(({ parameters }) => Object.entries(parameters).map(([name, { value }]) => `${name}=${value}`))
  .join('\n');

function textForm(name: string, seed: string, words: readonly string[], check: (text: string) => Outcome): Form {
  return {
    name,
    seeds: [Buffer.from(seed)],
    mutate: (original, random) => Buffer.from(mutateText(Buffer.from(original).toString('utf8'), words, random)),
    check: (input) => check(Buffer.from(input).toString('utf8')),
  };
}

function checkBudget(text: string): Outcome {
  try {
    const lines = text.split('\n').length;
    for (const { place, amount, level, text: said } of readBudgets(text, 'mutation')) {
      assert.ok(place !== null && place.line >= 1 && place.line <= lines);
      assert.ok(Number.isFinite(amount), said);
      assert.ok(level === null || (level >= 0 && level <= 9));
    }
    return 'whole';
  } catch (error) {
    if (!(error instanceof BudgetError)) throw error;
    assert.match(error.where, /^mutation/);
    return 'refused';
  }
}

function checkInputs(text: string): Outcome {
  try {
    let last = 0;
    for (const { tick, bytes } of parseInputs(text, 'mutation')) {
      assert.ok(Number.isSafeInteger(tick) && tick >= last && bytes.length <= text.length);
      last = tick;
    }
    return 'whole';
  } catch (error) {
    if (!(error instanceof InputFileError)) throw error;
    assert.match(error.where, /^mutation:\d+$/);
    assert.ok(error.message.length < 500);
    return 'refused';
  }
}

function checkSettings(text: string): Outcome {
  let refused = false;
  for (const word of text.split('\n')) {
    let taken = false;
    for (const guest of GUESTS.values()) {
      const read = readSetting(guest, word);
      if ('fault' in read) continue;
      taken = true;
      const line = commandLine(guest, { [read.name]: read.value });
      assert.match(line, /^[ -~]*$/);
    }
    refused ||= !taken;
  }
  return refused ? 'refused' : 'whole';
}

export function settingForms(): readonly Form[] {
  const words = [
    'exits.',
    'latency.p99.9.',
    'baseline',
    ' - ',
    '%',
    'L2.',
    'ticks.total',
    '<=',
    '==',
    '1e9',
    '99999999',
  ];
  return [
    textForm('budget', BUDGET, words, checkBudget),
    textForm('inputs', INPUTS, ['com1', '"\\ud800"', '"', '\\', '18446744073709551616 com1 "x"', '0 a '], checkInputs),
    textForm('settings', SETTINGS, ['=', '__proto__=1', 'constructor=1', '18446744073709551615', '-1'], checkSettings),
  ];
}
