import { imageForms } from './images.js';
import { testForms } from './suite.js';

testForms('guest images', imageForms());
