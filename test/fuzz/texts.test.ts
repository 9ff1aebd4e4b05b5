import { testForms } from './suite.js';
import { textForms } from './texts.js';

testForms('recordings as text', textForms());
