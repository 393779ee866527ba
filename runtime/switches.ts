// What the environment switches: each of these variables takes one of a few words. Another one is refused: whoever
// misspells it would take the usual for what they asked for.

import { DeviceError, diagnostic } from '../dsl/diagnostic.ts';

const words = {
  /** Native code of the CPU device and of random tensors. */
  WARPLOOM_ADDON: ['on', 'off'],
  /** Emulated devices fuse products with sums. */
  WARPLOOM_EMULATOR_FMA: ['on', 'off'],
  /** 'off': each kernel is launched by itself, as some profilers want it; 'always': none is, in tests. */
  WARPLOOM_GRAPHS: ['off', 'always'],
  /** What was tuned on this machine is used. */
  WARPLOOM_TUNED: ['on', 'off'],
} as const;

/** The word of a variable; undefined where it is not set, or empty. Throws DeviceError R005 for one that it does not take. */
export function switchOf<Name extends keyof typeof words>(
  name: Name,
): (typeof words)[Name][number] | undefined {
  const word = process.env[name];
  if (!word) return undefined;
  const all: readonly string[] = words[name];
  if (all.includes(word)) return word as (typeof words)[Name][number];
  const help = `set ${name} to ${all.map((one) => `'${one}'`).join(' or ')}, or leave it out`;
  throw new DeviceError([diagnostic('R005', `${name} is '${word}'`, { help })]);
}
