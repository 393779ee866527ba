// Each row of the table of default tiles, compiled for the work that it was measured with. A tile that did not fit would
// never be seen: the next one is taken in its place.

import { expect, test } from 'vitest';
import { choiceName, kernelOf, ofHopper } from '../../codegen/attention/choice.ts';
import { rows } from '../../codegen/attention/hopper/defaults.ts';
import { compileKernel } from '../../runtime/cuda/compiler.ts';
import { specOf } from '../../runtime/cuda/kernel-request.ts';
import { formWorks } from '../bench/attention/forms.ts';
import { archs, requestOf } from './golden.ts';

test.each(
  rows
    .map((row) => ({ ...row, choice: ofHopper(row.knobs) }))
    .map((row) => ({ ...row, name: choiceName(row.choice) })),
)('$form, dimension $dim, up to $upTo keys: $name', async ({ form, dim, choice }) => {
  const { pattern, group } = formWorks.find((work) => work.form === form)!;
  const { kernel, problem } = kernelOf(
    specOf(requestOf(pattern.definition, dim, 'bf16', group)),
    choice,
  );
  expect(problem).toBeUndefined();
  const { report } = await compileKernel(kernel, 'sm_90a');
  const { spillStores, spillLoads, staticShared, remarks } = report;
  expect({ spills: spillStores + spillLoads, remarks }).toEqual({ spills: 0, remarks: [] });
  expect(kernel.sharedBytes + staticShared).toBeLessThanOrEqual(archs.sm_90a);
});
