import { processorForms } from './processors.js';
import { testForms } from './suite.js';

testForms('what a processor can do', processorForms());
