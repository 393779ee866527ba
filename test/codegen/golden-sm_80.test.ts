// What the kernels of the built-in patterns cost on sm_80; the table is test/golden/resources-sm_80.txt.

import { testResources } from './golden.ts';

testResources('sm_80');
