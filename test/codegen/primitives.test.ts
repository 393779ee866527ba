// What a kernel's text has of codegen/device: all that it needs, nothing else, and so the same machine code.

import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { hopper } from '../../codegen/attention/hopper/index.ts';
import { portable } from '../../codegen/attention/portable/index.ts';
import { devicePrimitives, primitivesFor } from '../../codegen/device.ts';
import { findNvrtc } from '../../runtime/cuda/nvrtc.ts';
import { firstHopperKernel, firstKernel } from './golden.ts';

const files = readdirSync(new URL('../../codegen/device', import.meta.url)).map((file) =>
  file.replace('.cuh', ''),
);

describe('the primitives of a kernel', () => {
  it.each(files)('%s: are whole where all is mentioned', (name) => {
    const all = devicePrimitives(name);
    expect(primitivesFor(all, name)).toBe(all);
  });

  it.each(files)('%s: are none where nothing is mentioned', (name) => {
    const none = primitivesFor('', name);
    expect(none.replace(/#define WARPLOOM_DEVICE .*\n/, '')).not.toMatch(
      /WARPLOOM_DEVICE|^struct|\n\n\n/m,
    );
  });

  it('are those that it mentions, and those that these mention', () => {
    const names = ['integers', 'bounds', 'sets'] as const;
    const text = primitivesFor('if (set_truth(set, row, column).may) return;', ...names);
    for (const kept of ['set_truth', 'bits_between', 'own_row', 'clamp_int'])
      expect(text).toContain(`${kept}(`);
    for (const gone of ['set_next', 'set_word', 'floor_div', 'truth_of', 'FloatBounds'])
      expect(text).not.toContain(gone);
    expect(text).toContain('/** Whether members can be, and can be missing');
    expect(text).not.toContain('/** The first column from');
  });

  it('are not those that only a comment names', () => {
    const text = primitivesFor('x = 1;  // as floor_div does\n/* sign_of */', 'integers');
    expect(text).not.toContain('floor_div');
    expect(text).not.toContain('integers.cuh');
  });
});

const whole = ['numbers', 'integers', 'floats', 'bounds', 'global', 'sets', 'tensors'];

it.each([
  ['causal', 'sm_80'],
  ['documents', 'sm_80'],
  ['vertical-slash', 'sm_80'],
  ['causal', 'sm_90a'],
  ['nsa-selection', 'sm_90a'],
])('%s for %s is the same machine code as with all primitives', async (name, arch) => {
  const { primitives: own } = arch === 'sm_90a' ? hopper : portable;
  const kernel = arch === 'sm_90a' ? firstHopperKernel(name) : firstKernel(name);
  const text = kernel.source.slice(kernel.source.indexOf('// ---- kernel ----'));
  const source = `${devicePrimitives(...whole, ...own)}\n\n${text}`;
  expect(source.length).toBeGreaterThan(kernel.source.length);
  const nvrtc = await findNvrtc();
  const [full, cut] = await Promise.all(
    [source, kernel.source].map((one) => nvrtc.compile({ name: kernel.name, source: one, arch })),
  );
  // ptxas is not deterministic; what it is given decides.
  expect(cut!.ptx).toBe(full!.ptx);
});
