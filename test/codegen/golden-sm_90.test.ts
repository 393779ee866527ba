// What the kernels of the built-in patterns cost on sm_90; the table is test/golden/resources-sm_90.txt.

import { testResources } from './golden.ts';

testResources('sm_90');
