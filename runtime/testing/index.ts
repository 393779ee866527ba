// `warploom/testing`: vitest matchers for people who keep patterns under regression. Importing it adds
// them to `expect`; vitest (4.1 or newer) and fast-check are needed here and nowhere else.
//
//   import 'warploom/testing';
//   import { expect, test } from 'vitest';
//   import { mine } from './mine.ts';
//
//   test('mine is what it was', async () => {
//     expect(mine).toHaveNoFindings();
//     await expect(mine).toMatchPlan({ qLen: 512, params: { window: 128 } }); // update with `vitest -u`
//     await expect(mine).toBeCovered({ qLen: 1000, kLen: 1300 });
//     await expect(mine).toAgreeWithOracle({ runs: 50, seed: 1 });
//   });

import fc from 'fast-check';
import { expect, Snapshots } from 'vitest';
import { inspect } from '../../dsl/definition.ts';
import { render } from '../../dsl/diagnostic.ts';
import { type AnyPattern, isPattern } from '../../dsl/pattern.ts';
import { prove } from '../../dsl/plan/coverage.ts';
import { printExpression } from '../../dsl/print.ts';
import { compile } from '../attend.ts';
import { openDevice } from '../device.ts';
import { compareWithOracle, showDisagreements } from './agree.ts';
import { arbitraryCalls, type CallOptions, type CallSample, tensorsOfCall } from './calls.ts';
import { type PlanRequest, plansOf, planText } from './plan.ts';

export type { CallOptions, CallSample } from './calls.ts';
export { type PlanRequest, planText } from './plan.ts';

/** How a pattern is held against the oracle; sizes, numbers and dtypes are random where not stated. */
export interface OracleOptions extends CallOptions {
  /** 100, where not stated. */
  readonly runs?: number;
  /** Of fast-check; another one every time, where not stated. */
  readonly seed?: number;
}

interface PatternMatchers<R> {
  /** The pattern lifts: its mask and score are of the language. Says all that is wrong. */
  toLift(): R;
  /** Nothing at all is wrong with the pattern, warnings included. */
  toHaveNoFindings(): R;
  /** The plan of one head is that of the snapshot file; `planText` gives the text for inline snapshots. */
  toMatchPlan(request: PlanRequest): Promise<R>;
  /** Every allowed pair is visited once and every full tile is full: proved for these sizes, all heads. */
  toBeCovered(request: PlanRequest): Promise<R>;
  /** The CPU device gives what the float64 oracle gives, on random calls, but for rounding. */
  toAgreeWithOracle(options?: OracleOptions): Promise<R>;
}

declare module 'vitest' {
  // biome-ignore lint/suspicious/noExplicitAny: has to repeat the declaration of vitest
  interface Matchers<T = any> extends PatternMatchers<T> {}
}

interface Verdict {
  readonly pass: boolean;
  readonly message: () => string;
}

function patternOf(value: unknown): AnyPattern {
  if (!isPattern(value)) throw new TypeError('expect(...) was not given a pattern');
  return value;
}

/** Findings of a pattern, as a verdict. */
function judge(value: unknown, errorsOnly: boolean): Verdict {
  const { name, definition } = patternOf(value);
  const { findings, lifted } = inspect(definition);
  const counted = findings.filter(({ severity }) => !errorsOnly || severity === 'error');
  const pass = counted.length === 0;
  const form = lifted ? `: ${printExpression(lifted.mask)}` : '';
  const message = () =>
    pass ? `nothing is wrong with '${name}'${form}` : counted.map(render).join('\n\n');
  return { pass, message };
}

/** One call, run and compared; throws where it differs. */
async function tryCall(pattern: AnyPattern, call: CallSample): Promise<void> {
  const { heads, kvHeads, headDim, valueDim } = call.shape;
  const device = await openDevice('cpu', { threads: 0 });
  const { dtype } = call;
  const attend = await compile(pattern, { heads, kvHeads, headDim, valueDim, dtype, device });
  const inputs = tensorsOfCall(pattern.definition, call);
  const result = await attend(inputs, call.params);
  const { disagreements } = await compareWithOracle(pattern, inputs, call.params, result);
  if (disagreements.length > 0) throw new Error(showDisagreements(disagreements));
}

const showCall = ({ shape, params, dtype, layouts, seed, scale }: CallSample): string =>
  [
    `shape ${JSON.stringify(shape)}`,
    `params ${JSON.stringify(params)}`,
    `dtype ${dtype}, layouts ${layouts.join(' ')}, tensors of seed ${seed}, q and k scaled by ${scale}`,
  ].join('\n');

expect.extend({
  toLift: (pattern: unknown) => judge(pattern, true),

  toHaveNoFindings: (pattern: unknown) => judge(pattern, false),

  async toMatchPlan(pattern: unknown, request: PlanRequest) {
    return Snapshots.toMatchSnapshot.call(this, await planText(patternOf(pattern), request));
  },

  async toBeCovered(pattern: unknown, request: PlanRequest): Promise<Verdict> {
    const { name } = patternOf(pattern);
    let questions = 0;
    for (const plan of await plansOf(patternOf(pattern), request)) {
      const proof = prove(plan);
      const { head, batch } = plan.binding.unit;
      questions += proof.questions;
      if (proof.counterexample) {
        const { fault, q, k } = proof.counterexample;
        const what = `(q=${q}, k=${k}) of batch ${batch}, head ${head} is ${fault}`;
        return { pass: false, message: () => `the plan of '${name}' fails: ${what}` };
      }
      if (proof.undecided > 0) {
        const what = `${proof.undecided} of ${proof.questions} questions about head ${head}`;
        return { pass: false, message: () => `no proof for '${name}': ${what} are undecided` };
      }
    }
    const message = () => `the plan of '${name}' is proved by ${questions} questions`;
    return { pass: true, message };
  },

  async toAgreeWithOracle(value: unknown, options: OracleOptions = {}): Promise<Verdict> {
    const pattern = patternOf(value);
    const { runs = 100, seed } = options;
    if (!Number.isInteger(runs) || runs < 1) throw new TypeError('runs is a whole number from 1');
    const property = fc.asyncProperty(arbitraryCalls(pattern.definition, options), (call) =>
      tryCall(pattern, call),
    );
    const parameters = { numRuns: runs, ...(seed === undefined ? {} : { seed }) };
    const details = await fc.check(property, parameters);
    const message = () => {
      const title = `'${pattern.name}' on the CPU device and the oracle`;
      if (!details.failed) return `${title} agree in ${details.numRuns} random calls`;
      const [call] = details.counterexample ?? [];
      const error = details.errorInstance;
      return [
        `${title} differ; seed ${details.seed}, after ${details.numRuns} calls, shrunk to`,
        call ? showCall(call) : 'nothing',
        error instanceof Error ? error.message : String(error),
      ].join('\n');
    };
    return { pass: !details.failed, message };
  },
});
