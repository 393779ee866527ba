// What the modules that laws 1 and 12 write import: one estimate with a set of each sort.

import type { Inputs } from '../../dsl/estimate/values.ts';

export { given } from './arbitraries.ts';

export const estimate = ({ q, k }: Inputs) => {
  const weight = q.dot(k).causal().softmax();
  return {
    columns: weight.sumPerKey().topk(4),
    distances: weight.sumPerDistance().topk(4),
    blocks: q.pool(16).dot(k.pool(16)).causal().topk(2),
  };
};
