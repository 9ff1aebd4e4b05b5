import { queryForms } from './queries.js';
import { testForms } from './suite.js';

testForms('SQL', queryForms());
