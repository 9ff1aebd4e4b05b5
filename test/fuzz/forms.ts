/** Every form that is fuzzed, for `npm run fuzz`. */
import { imageForms } from './images.js';
import { logForms } from './logs.js';
import { processorForms } from './processors.js';
import { queryForms } from './queries.js';
import { recordingForms } from './recordings.js';
import { requestForms } from './requests.js';
import type { Form } from './run.js';
import { settingForms } from './settings.js';
import { symbolForms } from './symbols.js';
import { textForms } from './texts.js';
import { traceForms } from './traces.js';

export const FORMS = async (): Promise<readonly Form[]> => [
  ...recordingForms(),
  ...textForms(),
  ...logForms(),
  ...settingForms(),
  ...processorForms(),
  ...symbolForms(),
  ...imageForms(),
  ...queryForms(),
  ...traceForms(),
  ...(await requestForms()),
];
