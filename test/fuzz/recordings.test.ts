import { recordingForms } from './recordings.js';
import { testForms } from './suite.js';

testForms('binary recordings', recordingForms());
