// Law 6: devices agree. The CPU device gives what the float64 oracle gives; test/long runs it overnight.

import assert from 'node:assert/strict';
import fc from 'fast-check';
import { byHead } from '../../dsl/heads.ts';
import { compile } from '../../runtime/attend.ts';
import {
  arbitraryCallData,
  arbitraryPattern,
  capturedOf,
  chosenOf,
  inputsOf,
  paramsOf,
  patternOf,
  tensorsOf,
} from './arbitraries.ts';
import { attendWith, inline, type Numbers } from './attention.ts';
import { builtInsAgree } from './properties/built-ins.ts';
import { devicesAgree } from './properties/devices.ts';
import { law, runs } from './settings.ts';

law('random patterns on the CPU device agree with the oracle', () =>
  fc.assert(devicesAgree(inline), runs(400)),
);

law('built-in patterns on the CPU device agree with the oracle, selections and attention', () =>
  fc.assert(builtInsAgree(inline), runs(250)),
);

law('a head of byHead is the head of its own pattern, to the bit', () =>
  fc.assert(
    fc.asyncProperty(
      fc.tuple(arbitraryPattern(), arbitraryPattern()),
      arbitraryCallData(),
      fc.array(fc.boolean(), { minLength: 8, maxLength: 8 }),
      async (pair, data, isSecond) => {
        const { heads, kvHeads, headDim, valueDim, qLen, batch } = data.shape;
        const own = pair.map((one) => patternOf(one));
        const which = Array.from({ length: heads }, (_, head) => Number(isSecond[head % 8]));
        const { dtype } = data;
        const perHead = byHead(which.map((i) => own[i]!));
        const attend = await compile(perHead, {
          heads,
          kvHeads,
          headDim,
          valueDim,
          dtype,
          device: inline,
        });
        const [sets, params] = [chosenOf(data), paramsOf(data)];
        const chosen = [...new Set(which)].map(() => sets);
        const inputs = { ...tensorsOf(data), ...capturedOf(data), chosen };
        const { out, lse } = await attend(inputs, params as never);
        const [outs, lses] = [await out.read(), await lse.read()];
        const alone: Numbers[] = [];
        for (const pattern of own)
          alone.push(await attendWith(pattern, data, inputsOf(data), params));
        for (let unit = 0; unit < batch * heads; unit += 1) {
          const expected: Numbers = alone[which[unit % heads]!]!;
          const part = (values: ArrayLike<number>, size: number) =>
            Array.from(values).slice(unit * size, (unit + 1) * size);
          assert.deepEqual(part(outs, qLen * valueDim), part(expected.out, qLen * valueDim));
          assert.deepEqual(part(lses, qLen), part(expected.lse, qLen));
        }
      },
    ),
    runs(80),
  ),
);
