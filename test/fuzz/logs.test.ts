import { logForms } from './logs.js';
import { testForms } from './suite.js';

testForms('logs for explain', logForms());
