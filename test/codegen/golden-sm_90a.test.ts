// What the kernels of the built-in patterns cost on sm_90a; the table is test/golden/resources-sm_90a.txt.

import { testResources } from './golden.ts';

testResources('sm_90a');
