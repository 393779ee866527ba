// What the tests of diagnostics share: small calls, and the text of the one error that a bad one gives.

import { expect } from 'vitest';
import { type Code, PatternError } from '../../dsl/diagnostic.ts';
import type { Pattern } from '../../dsl/index.ts';
import { type CompileOptions, compile } from '../../runtime/attend.ts';
import { openDevice } from '../../runtime/device.ts';
import { reference } from '../../runtime/reference/attention.ts';
import { tensor } from '../../runtime/tensor.ts';

/** A device without threads, so that nothing has to be closed. */
export const device = await openDevice('cpu', { threads: 0 });

/** What the tests compile for: 4 query heads of 8 dimensions, 2 KV heads. */
export const options: CompileOptions = { heads: 4, kvHeads: 2, headDim: 8, dtype: 'fp32', device };

/** Tensors that fit `options`: 5 queries at the end of 7 keys. */
export const tensors = () => ({
  q: tensor.random([1, 4, 5, 8], { seed: 1 }),
  k: tensor.random([1, 2, 7, 8], { seed: 2 }),
  v: tensor.random([1, 2, 7, 8], { seed: 3 }),
});

type Loose = Readonly<Record<string, unknown>>;

/** Any pattern: bad calls are not type-correct either. */
export type AnyPattern = { readonly definition: Pattern['definition'] };

/** Compiles and calls, as an author without types may: the first error is the answer. */
export async function attend(
  pattern: AnyPattern,
  inputs: Loose = {},
  params: Loose = {},
  compiled: Partial<CompileOptions> = {},
) {
  const call = await compile(pattern as never, { ...options, ...compiled });
  return call({ ...tensors(), ...inputs } as never, params as never);
}

/** The oracle's answer to the same call. */
export const oracle = (pattern: AnyPattern, inputs: Loose = {}, params: Loose = {}) =>
  reference(pattern as never, { ...tensors(), ...inputs } as never, params as never);

/**
 * The text of what the action throws, which is one error of ours with this code first. Places in files are
 * cut to their names.
 */
export async function refused(code: Code, action: () => unknown): Promise<string> {
  const error = await thrownBy(action);
  expect(error, `nothing of ours was thrown: ${String(error)}`).toBeInstanceOf(PatternError);
  const { message, code: first } = error as PatternError;
  expect(first, message).toBe(code);
  return message
    .replaceAll(/--> .*\/(?=[^/]*$)/gm, '--> ')
    .replaceAll(/:\d+:\d+$/gm, ':L:C')
    .replaceAll(/^\d+ \|/gm, 'N |')
    .replaceAll(/^ +(-->|\|)/gm, '  $1');
}

async function thrownBy(action: () => unknown): Promise<unknown> {
  try {
    await action();
    return undefined;
  } catch (error) {
    return error;
  }
}

/** The same call of the device and of the oracle: both refuse it, with one text. */
export async function refusedByBoth(
  code: Code,
  pattern: AnyPattern,
  inputs: Loose = {},
  params: Loose = {},
): Promise<string> {
  const text = await refused(code, () => attend(pattern, inputs, params));
  expect(await refused(code, () => oracle(pattern, inputs, params))).toBe(text);
  return text;
}

/** The same call of the device and of the oracle: both take it, and agree roughly. */
export async function takenByBoth(
  pattern: AnyPattern,
  inputs: Loose = {},
  params: Loose = {},
): Promise<void> {
  const { out } = await attend(pattern, inputs, params);
  const exact = oracle(pattern, inputs, params).out;
  const got = await out.read();
  expect(got.length).toBe(exact.length);
  for (const [i, value] of exact.entries()) expect(Math.abs(got[i]! - value)).toBeLessThan(1e-4);
}
