// WARPLOOM_ARCH: which kernels a GPU is given.

import { afterEach, describe, expect, it } from 'vitest';
import { archOf } from '../../runtime/cuda/arch.ts';
import { openDevice } from '../../runtime/device.ts';
import { useSimulatedDriver } from '../native/simulated.ts';

useSimulatedDriver({ devices: 1 });
afterEach(() => {
  delete process.env.WARPLOOM_ARCH;
});

const [ada, hopper] = [
  { major: 8, minor: 9 },
  { major: 9, minor: 0 },
];
const asked = (arch: string, chip: typeof ada): string => {
  process.env.WARPLOOM_ARCH = arch;
  try {
    return archOf(chip);
  } catch (error) {
    return (error as Error).message;
  }
};

describe('WARPLOOM_ARCH', () => {
  it('left unset or empty, a GPU has its own', () => {
    expect([archOf(ada), archOf(hopper)]).toEqual(['sm_89', 'sm_90a']);
    expect(asked('', hopper)).toBe('sm_90a');
  });

  it('asks for one that the GPU runs', () => {
    expect(asked('sm_86', ada)).toBe('sm_86');
    expect(asked('sm_90', hopper)).toBe('sm_90');
    expect(asked('sm_90a', hopper)).toBe('sm_90a');
  });

  it('is refused where it would not run', () => {
    expect(asked('sm_80', hopper)).toMatchInlineSnapshot(`
      "error[R005]: WARPLOOM_ARCH is 'sm_80', which this GPU does not run: it is sm_90a
        = help: give sm_90 or sm_90a, or leave it unset"
    `);
    for (const arch of ['sm_90', 'sm_90a', 'sm_8', 'sm_80a', 'hopper'])
      expect(asked(arch, ada)).toContain('error[R005]');
  });

  it('decides what an opened device compiles for, and a wrong one opens none', async () => {
    process.env.WARPLOOM_ARCH = 'sm_90';
    const device = await openDevice('cuda');
    expect(device.machine.arch).toBe('sm_90');
    await device.dispose();
    process.env.WARPLOOM_ARCH = 'sm_100';
    await expect(openDevice('cuda')).rejects.toThrow('R005');
  });
});
