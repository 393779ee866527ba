// Variables of the environment that take one of a few words.

import { afterEach, expect, it } from 'vitest';
import { tensor } from '../../index.ts';
import { openDevice } from '../../runtime/device.ts';
import { switchOf } from '../../runtime/switches.ts';

const names = [
  'WARPLOOM_ADDON',
  'WARPLOOM_EMULATOR_FMA',
  'WARPLOOM_GRAPHS',
  'WARPLOOM_TUNED',
] as const;
const before = names.map((name) => process.env[name]);
afterEach(() => {
  for (const [i, name] of names.entries())
    if (before[i] === undefined) delete process.env[name];
    else process.env[name] = before[i];
});

it.each(names)('%s is as usual where it is unset or empty, and takes its words', (name) => {
  delete process.env[name];
  expect(switchOf(name)).toBeUndefined();
  process.env[name] = '';
  expect(switchOf(name)).toBeUndefined();
  process.env[name] = 'off';
  expect(switchOf(name)).toBe('off');
});

it('a word that it does not take is refused with those that it does', () => {
  process.env.WARPLOOM_GRAPHS = 'of';
  expect(() => switchOf('WARPLOOM_GRAPHS')).toThrowErrorMatchingInlineSnapshot(`
    [DeviceError: error[R005]: WARPLOOM_GRAPHS is 'of'
      = help: set WARPLOOM_GRAPHS to 'off' or 'always', or leave it out]
  `);
});

it('is asked by what it switches', async () => {
  process.env.WARPLOOM_ADDON = 'no';
  expect(() => tensor.random([1, 1, 4, 16], { dtype: 'fp32', seed: 1 })).toThrow(
    "WARPLOOM_ADDON is 'no'",
  );
  delete process.env.WARPLOOM_ADDON;
  process.env.WARPLOOM_EMULATOR_FMA = 'yes';
  const device = await openDevice('emulated:sm_80');
  try {
    const { compile, causal } = await import('../../index.ts');
    const given = { heads: 1, kvHeads: 1, headDim: 16, dtype: 'bf16', device } as const;
    const attend = await compile(causal, given);
    const q = tensor.random([1, 1, 4, 16], { dtype: 'bf16', seed: 1 });
    const call = async () => (await attend({ q, k: q, v: q })).out.read();
    await expect(call()).rejects.toThrow("WARPLOOM_EMULATOR_FMA is 'yes'");
  } finally {
    await device.dispose();
  }
});
