// Budgets of the heads of a work: those that find what is planted, or others for every head.

import type { Planted } from '../../../examples/planted/heads.ts';
import type { WholeWork } from './works.ts';

export type Budgets = Readonly<Record<string, number | readonly number[]>>;

export function budgetsOf({ budgets }: WholeWork, planted: Planted): Budgets {
  switch (budgets) {
    case 'usual':
      return {};
    case 'planted':
      return { ...planted.params };
    case 'spread':
      return spreadBudgets(planted);
  }
}

/** From a quarter to seven quarters of what the planted heads need in the mean, in no order of their heads. */
function spreadBudgets({ heads, params }: Planted): Budgets {
  const spread = (values: readonly number[]) => {
    const mean = values.reduce((sum, value) => sum + value, 0) / heads;
    return values.map((_, head) => {
      const place = ((head * 13) % heads) / Math.max(1, heads - 1);
      return Math.round(mean * (0.25 + 1.5 * place));
    });
  };
  return { verticals: spread(params.verticals), slashes: spread(params.slashes) };
}

/** One call for each head's budgets, given to all heads. */
export const uniformBudgets = (budgets: Budgets, heads: number): Budgets[] =>
  Array.from({ length: heads }, (_, head) =>
    Object.fromEntries(
      Object.entries(budgets).map(([name, value]) => [
        name,
        typeof value === 'object' ? value[head]! : value,
      ]),
    ),
  );
