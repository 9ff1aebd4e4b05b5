import { testForms } from './suite.js';
import { symbolForms } from './symbols.js';

testForms('symbol files', symbolForms());
