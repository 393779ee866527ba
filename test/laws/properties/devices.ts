// Law 6 as a property: a device gives what the oracle gives, on random patterns and calls.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { AnyPattern } from '../../../dsl/pattern.ts';
import type { LaunchShape } from '../../../dsl/shape.ts';
import { compile } from '../../../runtime/attend.ts';
import type { Device } from '../../../runtime/device.ts';
import type { FloatType } from '../../../runtime/dtype.ts';
import type { CallInputs } from '../../../runtime/inputs.ts';
import { tensor } from '../../../runtime/tensor.ts';
import { compareWithOracle, showDisagreements } from '../../../runtime/testing/agree.ts';
import {
  arbitraryCall,
  inputsOf,
  type PatternOptions,
  paramsOf,
  patternOf,
  type RandomCall,
} from '../arbitraries.ts';

/** Random Q, K and V of a call. */
export function randomInputs({ shape, dtype, seed }: CallOf & { readonly seed: number }) {
  const { batch, heads, kvHeads, qLen, kLen, headDim, valueDim } = shape;
  const random = (count: number, rows: number, dim: number, i: number) =>
    tensor.random([batch, count, rows, dim], { dtype, seed: seed + i });
  return {
    q: random(heads, qLen, headDim, 0),
    k: random(kvHeads, kLen, headDim, 1),
    v: random(kvHeads, kLen, valueDim, 2),
  };
}

interface CallOf {
  readonly shape: LaunchShape;
  readonly dtype: FloatType;
}

/** A device gives what the oracle gives for a pattern, its inputs and its numbers. */
export async function checkInputs(
  device: Device,
  pattern: AnyPattern,
  { shape, dtype }: CallOf,
  inputs: CallInputs,
  params: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  const { heads, kvHeads, headDim, valueDim } = shape;
  const attend = await compile(pattern, { heads, kvHeads, headDim, valueDim, dtype, device });
  const result = await attend(inputs as never, params as never);
  const { disagreements } = await compareWithOracle(
    pattern,
    inputs as never,
    params as never,
    result,
  );
  assert.equal(showDisagreements(disagreements), '');
}

/** Runs one random call and compares. */
export const checkCall = (device: Device, { pattern, data }: RandomCall): Promise<void> =>
  checkInputs(device, patternOf(pattern), data, inputsOf(data), paramsOf(data));

export const devicesAgree = (device: Device, options: PatternOptions = {}) =>
  fc.asyncProperty(arbitraryCall(options), (call) => checkCall(device, call));
