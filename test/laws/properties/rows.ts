// Laws 8 and 9 for one call: rows without keys, and what attention does to values and scores of a special
// kind.

import assert from 'node:assert/strict';
import * as x from '../../../dsl/expression.ts';
import { queryOffset } from '../../../dsl/shape.ts';
import type { Device } from '../../../runtime/device.ts';
import { tensor } from '../../../runtime/tensor.ts';
import { numbersFrom } from '../../arbitraries.ts';
import { inputsOf, paramsOf, patternOf, type RandomCall } from '../arbitraries.ts';
import { assertClose, attendWith, boundOf, largest, times } from '../attention.ts';

/** A row that sees no key gives 0 and a log-sum of -Infinity: every `n`th is made to see none. */
export async function checkEmptyRows(
  device: Device,
  { pattern, data }: RandomCall,
  n: number,
): Promise<void> {
  const { shape } = data;
  const isOpen = x.compare('ne', x.binary('rem', x.index('q'), x.int(n)), x.int(0));
  const made = patternOf({ ...pattern, mask: x.and(pattern.mask, isOpen) });
  const { out, lse } = await attendWith(made, data, inputsOf(data), paramsOf(data), device);
  for (const [row, value] of lse.entries()) {
    const q = (row % shape.qLen) + queryOffset(shape);
    const isEmpty = q % n === 0 || shape.kLen === 0;
    if (isEmpty) assert.equal(value, -Infinity);
    const values = out.subarray(row * shape.valueDim, (row + 1) * shape.valueDim);
    if (value === -Infinity) for (const one of values) assert.equal(Math.abs(one), 0);
    else for (const one of values) assert.ok(Number.isFinite(one));
  }
}

/** Values of one give one. */
export async function checkOnes(device: Device, { pattern, data }: RandomCall): Promise<void> {
  const { batch, kvHeads, kLen, valueDim } = data.shape;
  const ones = tensor.full([batch, kvHeads, kLen, valueDim], 1, { dtype: data.dtype });
  const inputs = { ...inputsOf(data), v: ones };
  const { out, lse } = await attendWith(patternOf(pattern), data, inputs, paramsOf(data), device);
  const bound = boundOf({ ...data, scale: 0 }, 1);
  for (const [at, value] of out.entries()) {
    const expected = lse[Math.floor(at / valueDim)] === -Infinity ? 0 : 1;
    assert.ok(Math.abs(value - expected) <= bound.out, `${value} for ${expected}`);
  }
}

/** The output is linear in the values. */
export async function checkLinear(device: Device, { pattern, data }: RandomCall): Promise<void> {
  const { dtype } = data;
  const { batch, kvHeads, kLen, valueDim } = data.shape;
  const sizes = [batch, kvHeads, kLen, valueDim];
  // Small whole numbers times powers of two, so that their sums are exact in every dtype.
  const next = numbersFrom(data.seed);
  const whole = () =>
    Float32Array.from(
      { length: batch * kvHeads * kLen * valueDim },
      () => Math.floor(next() * 64) - 32,
    );
  const [a, b] = [whole(), whole()];
  const both = a.map((value, i) => 2 * value - b[i]! / 2);
  const [made, inputs, params] = [patternOf(pattern), inputsOf(data), paramsOf(data)];
  const results = [];
  for (const values of [a, b, both]) {
    const v = tensor(values, { shape: sizes, dtype });
    results.push(await attendWith(made, data, { ...inputs, v }, params, device));
  }
  const [first, second, third] = results;
  const sum = first!.out.map((value, i) => 2 * value - second!.out[i]! / 2);
  const bound = times(boundOf({ ...data, scale: 0 }, largest(a) + largest(b)), 4);
  assertClose({ ...third!, out: sum }, third!, bound, data.shape);
}

/** A constant added to all scores moves only the log-sum. The pattern has no score and no stand-ins. */
export async function checkShift(
  device: Device,
  { pattern, data }: RandomCall,
  constant: number,
): Promise<void> {
  const score = x.binary('add', x.index('s'), x.real(constant));
  const [inputs, params] = [inputsOf(data), paramsOf(data)];
  const plain = await attendWith(patternOf(pattern), data, inputs, params, device);
  const moved = await attendWith(patternOf({ ...pattern, score }), data, inputs, params, device);
  const bound = boundOf(data, largest(await inputs.v.read()));
  const lse = moved.lse.map((value) => value - constant);
  assertClose({ ...moved, lse }, plain, times(bound, 2), data.shape);
}
