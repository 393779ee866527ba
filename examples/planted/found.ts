// How much of what is planted the queries of a call may attend to. Asked of the author's mask with the chosen
// sets, pair by pair, so that patterns with any sets are comparable.

import type { AnyPattern, ParameterValues } from '../../index.ts';
import type { AttendResult } from '../../runtime/attend.ts';
import { checkCall } from '../../runtime/plans.ts';
import { arrowsOf } from '../../runtime/reference/arrows.ts';
import type { Planted, Range } from './heads.ts';

/** Shares of the planted pairs that the mask allows, 0 .. 1; 1 where nothing is planted. */
export interface Found {
  readonly sinks: number;
  readonly verticals: number;
  readonly bands: number;
  readonly needles: number;
}

/** One for each query head, over so many evenly spaced query rows; needles over all of theirs. */
export function foundBy(
  pattern: AnyPattern,
  planted: Planted,
  chosen: AttendResult['chosen'],
  params: ParameterValues = {},
  rows = 32,
): Found[] {
  const { heads, kvHeads, length: kLen, qLen, headDim } = planted;
  const shape = { batch: 1, heads, kvHeads, qLen, kLen, headDim, valueDim: headDim };
  const { parts, inputs } = checkCall(pattern, { shape, chosen }, params);
  const [{ definition }, given] = [parts[0]!, inputs.given[0]!];
  const some = Array.from({ length: rows }, (_, i) => Math.floor(((i + 0.5) * qLen) / rows));
  return planted.planted.map((own, head): Found => {
    const unit = { batch: 0, head, kvHead: Math.floor(head / (heads / kvHeads)) };
    const { mask } = arrowsOf(definition, given, chosen, shape, unit);
    const shareOf = (pairs: Iterable<readonly [row: number, key: number]>): number => {
      let [all, found] = [0, 0];
      for (const [row, key] of pairs) {
        if (key < 0 || key > row + kLen - qLen) continue;
        all += 1;
        if (mask(row, key)) found += 1;
      }
      return all === 0 ? 1 : found / all;
    };
    function* of(keysOf: (q: number) => Iterable<number>): Generator<readonly [number, number]> {
      for (const row of some) for (const key of keysOf(row + kLen - qLen)) yield [row, key];
    }
    function* ofNeedles(): Generator<readonly [number, number]> {
      for (const { queries, keys } of own.needles)
        for (const q of members(queries))
          for (const key of members(keys)) yield [q - kLen + qLen, key];
    }
    function* inBands(q: number): Generator<number> {
      for (const band of own.bands) for (const d of members(band)) yield q - d;
    }
    return {
      sinks: shareOf(of(() => members({ from: 0, to: planted.sinks }))),
      verticals: shareOf(of(() => own.verticals)),
      bands: shareOf(of(inBands)),
      needles: shareOf(ofNeedles()),
    };
  });
}

function* members({ from, to }: Range): Generator<number> {
  for (let i = from; i < to; i += 1) yield i;
}
