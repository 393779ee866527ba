// What the kernels of the built-in patterns cost on sm_89; the table is test/golden/resources-sm_89.txt.

import { testResources } from './golden.ts';

testResources('sm_89');
