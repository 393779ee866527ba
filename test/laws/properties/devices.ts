// Law 6 as a property: a device gives what the oracle gives, on random patterns and calls.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { compile } from '../../../runtime/attend.ts';
import type { Device } from '../../../runtime/device.ts';
import { compareWithOracle, showDisagreements } from '../../../runtime/testing/agree.ts';
import {
  arbitraryCall,
  inputsOf,
  type PatternOptions,
  paramsOf,
  patternOf,
  type RandomCall,
} from '../arbitraries.ts';

/** Runs one random call and compares. */
export async function checkCall(device: Device, { pattern, data }: RandomCall): Promise<void> {
  const { heads, kvHeads, headDim, valueDim } = data.shape;
  const made = patternOf(pattern);
  const { dtype } = data;
  const attend = await compile(made, { heads, kvHeads, headDim, valueDim, dtype, device });
  const inputs = inputsOf(data);
  const params = paramsOf(data);
  const result = await attend(inputs, params);
  const { disagreements } = await compareWithOracle(made, inputs, params, result);
  assert.equal(showDisagreements(disagreements), '');
}

export const devicesAgree = (device: Device, options: PatternOptions = {}) =>
  fc.asyncProperty(arbitraryCall(options), (call) => checkCall(device, call));
