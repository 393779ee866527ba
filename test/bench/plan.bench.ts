// How long planning takes, and walking over what is planned.

import { planUnit, workspaceOf } from '../../dsl/plan/unit.ts';
import { visitsOf } from '../../dsl/plan/walk.ts';
import { millionMasks, millionRequest } from '../million.ts';
import type { Program } from '../programs/program.ts';

const time = (run: () => void): number => {
  const start = performance.now();
  run();
  return performance.now() - start;
};

export const program: Program = {
  summary: 'planning and walking one head of 1M x 1M tokens, on the CPU',
  examples: [''],
  addOptions() {},
  async act() {
    for (const name of millionMasks) planAndWalk(name);
    return 0;
  },
};

function planAndWalk(name: (typeof millionMasks)[number]): void {
  const plans: number[] = [];
  let plan = planUnit(millionRequest(name));
  for (let i = 0; i < 5; i += 1) {
    const request = millionRequest(name);
    plans.push(
      time(() => {
        plan = planUnit(request);
        visitsOf(plan, 0);
        visitsOf(plan, plan.tiles - 1);
      }),
    );
  }
  let visits = 0;
  const every = name === 'bits' ? 1024 : 16;
  const walk = time(() => {
    for (let tile = 0; tile < plan.tiles; tile += every) visits += visitsOf(plan, tile).length;
  });
  const bytes = Object.values(workspaceOf(plan, 0)).reduce((sum, one) => sum + one, 0);
  console.log(
    `${name.padEnd(15)} plan ${Math.min(...plans).toFixed(1)} ms (first ${plans[0]!.toFixed(1)});`,
    `walk of every ${every}th query tile ${walk.toFixed(0)} ms, ${visits} visits; ${(bytes / 1024).toFixed(0)} KB`,
  );
}
