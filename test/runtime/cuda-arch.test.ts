// WARPLOOM_ARCH: which kernels a GPU is given.

import { afterEach, describe, expect, it } from 'vitest';
import { archOf } from '../../runtime/cuda/arch.ts';
import { openDevice } from '../../runtime/device.ts';
import { useSimulatedDriver } from '../native/simulated.ts';

// GPUs of three families.
useSimulatedDriver({ devices: 3, chips: [90, 86, 120] });
afterEach(() => {
  delete process.env.WARPLOOM_ARCH;
});

const [ada, hopper] = [
  { ordinal: 1, major: 8, minor: 9 },
  { ordinal: 0, major: 9, minor: 0 },
] as const;
const asked = (arch: string, chip: typeof ada | typeof hopper): string => {
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

  it('asks for one that a GPU runs', () => {
    expect(asked('sm_86', ada)).toBe('sm_86');
    expect(asked('sm_90', hopper)).toBe('sm_90');
    expect(asked('sm_90a', hopper)).toBe('sm_90a');
  });

  it('is refused where it would not run', () => {
    expect(asked('sm_80', hopper)).toMatchInlineSnapshot(`
      "error[R005]: WARPLOOM_ARCH is 'sm_80' for cuda:0, which is sm_90a and does not run it
        = help: give sm_90 or sm_90a, or leave it unset; one for each GPU is joined by commas"
    `);
    for (const arch of ['sm_90', 'sm_90a', 'sm_8', 'sm_80a', 'hopper'])
      expect(asked(arch, ada)).toContain('error[R005]');
  });

  it('asks one of each GPU, by its ordinal; a GPU without has its own', () => {
    for (const [arch, hoppers, adas] of [
      ['sm_90,sm_86', 'sm_90', 'sm_86'],
      ['sm_90a, sm_80', 'sm_90a', 'sm_80'],
      ['sm_90,', 'sm_90', 'sm_89'],
      [',sm_86,sm_100', 'sm_90a', 'sm_86'],
    ] as const)
      expect([asked(arch, hopper), asked(arch, ada)]).toEqual([hoppers, adas]);
    expect(asked('sm_90,sm_86', { ...ada, ordinal: 2 } as never)).toBe('sm_89');
    expect(asked('sm_90,sm_90', ada)).toMatchInlineSnapshot(`
      "error[R005]: WARPLOOM_ARCH is 'sm_90' for cuda:1, which is sm_89 and does not run it
        = help: give sm_80 or sm_81 or sm_82 or sm_83 or sm_84 or sm_85 or sm_86 or sm_87 or sm_88 or sm_89, or leave it unset"
    `);
    for (const arch of ['sm_86,sm_90', 'sm_90;sm_86', 'sm_90 sm_86'])
      expect(asked(arch, hopper)).toContain('error[R005]');
  });

  it('decides what each of several GPUs compiles for', async () => {
    const archs = async (arch: string) => {
      process.env.WARPLOOM_ARCH = arch;
      const opened = [];
      for (const name of ['cuda:0', 'cuda:1', 'cuda:2']) opened.push(await openDevice(name));
      for (const device of opened) await device.dispose();
      return opened.map((device) => device.kind !== 'cpu' && device.machine.arch);
    };
    expect(await archs('')).toEqual(['sm_90a', 'sm_86', 'sm_120']);
    expect(await archs('sm_90,sm_80')).toEqual(['sm_90', 'sm_80', 'sm_120']);
    await expect(archs('sm_90')).rejects.toThrow(/R005.*'sm_90' for cuda:1, which is sm_86/);
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
