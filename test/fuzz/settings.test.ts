import { settingForms } from './settings.js';
import { testForms } from './suite.js';

testForms('what people write', settingForms());
