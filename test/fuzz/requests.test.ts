import { requestForms } from './requests.js';
import { testForms } from './suite.js';

testForms('requests', await requestForms());
