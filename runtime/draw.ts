// draw(): the plan of one head of a call as a picture. The pictures themselves are dsl/picture's; here a
// call becomes the plan of a head.

import { diagnostic, ShapeError } from '../dsl/diagnostic.ts';
import type { ParameterValues } from '../dsl/given.ts';
import type { HeadPatterns } from '../dsl/heads.ts';
import type { AnyPattern } from '../dsl/pattern.ts';
import { type SvgOptions, svgTurns } from '../dsl/picture/svg.ts';
import type { UnitPlan } from '../dsl/plan/unit.ts';
import type { AttentionInputs } from './inputs.ts';
import type { AnySets, CallOptions } from './parts.ts';
import { type CallSizes, type PlannedCall, planCall } from './plans.ts';
import { inTurns, planningIn } from './turns.ts';

export interface DrawOptions extends CallOptions, Partial<SvgOptions> {
  /** Which query head, and of which batch entry; the first unless stated. */
  readonly head?: number;
  readonly batch?: number;
}

/**
 * An SVG of what one head of a call visits, on tensors, or on sizes alone where nothing has to be
 * estimated. Throws what the call itself would throw; ShapeError T002 for a head that is not there.
 */
export async function draw(
  pattern: AnyPattern | HeadPatterns,
  inputs: AttentionInputs<AnySets> | CallSizes,
  params: ParameterValues = {},
  options: DrawOptions = {},
): Promise<string> {
  const { title, plan } = planOf(await planCall(pattern, inputs, params, options), options);
  return inTurns(svgTurns(plan, { title, ...options }), planningIn(options));
}

/** The plan of one head, and a title for its picture. */
export function planOf(
  { shape, parts }: PlannedCall,
  { head = 0, batch = 0 }: Pick<DrawOptions, 'head' | 'batch'>,
): { title: string; plan: UnitPlan } {
  const part = parts.find(({ heads }) => heads.includes(head));
  const plan = part?.plans[batch * part.heads.length + part.heads.indexOf(head)];
  if (!part || !plan || batch < 0) {
    const numbers = (count: number): string => ['none', '0'][count] ?? `0 to ${count - 1}`;
    const help = `heads: ${numbers(shape.heads)}; batch entries: ${numbers(shape.batch)}`;
    throw new ShapeError([diagnostic('T002', `no head ${head} of batch ${batch}`, { help })]);
  }
  const { name } = part.definition;
  const several = shape.heads > 1 || shape.batch > 1;
  const which = shape.batch > 1 ? `batch ${batch}, head ${head}` : `head ${head}`;
  return { title: several ? `${name}, ${which}` : name, plan };
}
