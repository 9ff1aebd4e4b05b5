import { testForms } from './suite.js';
import { traceForms } from './traces.js';

testForms('our own traces', traceForms());
