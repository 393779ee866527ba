// The plan of one head as text for golden files: what is visited, tile by tile of queries, in few words.
// Deterministic: it depends on the pattern, the sizes and the sets alone.

import type { ChosenSetsData } from '../../dsl/chosen.ts';
import type { AnyPattern } from '../../dsl/pattern.ts';
import { boxOfTile, type UnitPlan } from '../../dsl/plan/unit.ts';
import { type Visit, visitsOf } from '../../dsl/plan/walk.ts';
import { printExpression } from '../../dsl/print.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import { planCall } from '../plans.ts';
import type { Tensor } from '../tensor.ts';

/** Sizes for a plan: lengths, and what else the pattern needs. */
export interface PlanRequest {
  readonly qLen: number;
  /** `qLen`, where not stated. */
  readonly kLen?: number;
  /** 1, where not stated. */
  readonly heads?: number;
  /** `heads`, where not stated. */
  readonly kvHeads?: number;
  /** 1, where not stated. */
  readonly batch?: number;
  /** Which head's plan is printed; 0, where not stated. */
  readonly head?: number;
  readonly params?: Readonly<Record<string, number | readonly number[]>>;
  /** Captured tensors by name. */
  readonly captured?: Readonly<Record<string, Tensor>>;
  /** The sets of an estimate. */
  readonly chosen?: ChosenSetsData;
}

/** The plans of all units of a request, batches outermost. Throws what the call itself would throw. */
export async function plansOf(
  pattern: AnyPattern,
  request: PlanRequest,
): Promise<readonly UnitPlan[]> {
  const { qLen, kLen = qLen, heads = 1, kvHeads = heads, batch = 1 } = request;
  const { captured = {}, chosen, params = {} } = request;
  const shape: LaunchShape = { batch, heads, kvHeads, qLen, kLen, headDim: 1, valueDim: 1 };
  const planned = await planCall(pattern, { ...captured, chosen, shape }, params);
  return planned.parts[0]!.plans;
}

/** The plan of one head as text. */
export async function planText(pattern: AnyPattern, request: PlanRequest): Promise<string> {
  const { head = 0 } = request;
  const plan = (await plansOf(pattern, request)).find(({ binding }) => binding.unit.head === head);
  if (!plan) throw new RangeError(`there is no head ${head} among ${request.heads ?? 1}`);
  return textOf(pattern.name, plan);
}

function textOf(name: string, plan: UnitPlan): string {
  const { shape, unit } = plan.binding;
  const tiles = `tiles of ${plan.qTile} queries x ${plan.kTile} keys`;
  const passes = plan.passes.map(
    (pass) => `${pass.kind} (${pass.forms.join(', ')}): ${printExpression(pass.mask)}`,
  );
  const rows = Array.from({ length: plan.tiles }, (_, tile) => {
    const { q0, q1 } = boxOfTile(plan, tile);
    const visits = visitsOf(plan, tile);
    return [`q ${q0}..${q1}`, visits.length === 0 ? 'nothing' : spansText(visits)] as const;
  });
  const width = Math.max(0, ...rows.map(([query]) => query.length));
  return [
    `${name}: qLen ${shape.qLen}, kLen ${shape.kLen}, head ${unit.head} of ${shape.heads}, ${tiles}`,
    ...passes,
    ...rows.map(([query, keys]) => `${query.padEnd(width)}  ${keys}`),
  ].join('\n');
}

/** Neighbours of one class as one span: `[0, 256) 4 full, [256, 320) 1 partial`. */
function spansText(visits: readonly Visit[]): string {
  interface Span {
    readonly kind: string;
    from: number;
    to: number;
    steps: number;
  }
  const spans: Span[] = [];
  for (const visit of visits) {
    const share = visit.full ? 'full' : 'partial';
    const [kind, from, to] =
      visit.kind === 'tile' ? [share, visit.from, visit.to]
      : visit.kind === 'rest' ? [`${share} stand-in`, visit.pool, visit.pool + 1]
      : [`${share} of ${visit.keys.length} columns`, visit.keys[0]!, visit.keys.at(-1)! + 1]; // biome-ignore format: a table
    const last = spans.at(-1);
    const joins = last?.kind === kind && visit.kind !== 'columns';
    if (joins && last.to === from) last.to = to;
    else if (joins && last.from === to) last.from = from;
    else {
      spans.push({ kind, from, to, steps: 1 });
      continue;
    }
    last.steps += 1;
  }
  return spans.map(({ kind, from, to, steps }) => `[${from}, ${to}) ${steps} ${kind}`).join(', ');
}
