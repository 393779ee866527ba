// What the kernels of the built-in patterns cost on sm_100; the table is test/golden/resources-sm_100.txt.

import { testResources } from './golden.ts';

testResources('sm_100');
