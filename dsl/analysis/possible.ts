// Can a formula hold anywhere in a box? Intervals refute, points confirm, and halving the box decides
// the rest within a budget. A tile is skipped when its mask cannot hold, and full when the mask's
// negation cannot hold: one procedure for both, sound for every mask.

import { evaluate } from '../evaluate.ts';
import type { Expression } from '../expression.ts';
import { type Binding, boxEnvironment, pointEnvironment } from './binding.ts';
import { type Box, close, copyOf } from './box.ts';
import type { Formula } from './formula.ts';
import { maybe, never, truthOf } from './interval.ts';

/** `no` is a proof; `yes` comes with a pair at which the formula holds; `unknown` ran out of budget. */
export type Answer =
  | { readonly is: 'no' }
  | { readonly is: 'unknown' }
  | { readonly is: 'yes'; readonly q: number; readonly k: number };

const refuted: Answer = { is: 'no' };
const undecided: Answer = { is: 'unknown' };

/** Boxes that one question may look at: enough to walk down to single pairs of a 256 x 256 tile many times. */
const defaultBudget = 2048;

interface Search {
  readonly binding: Binding;
  readonly holdsNowhere: boolean;
  left: number;
}

/**
 * Can `formula` hold at some pair of the box? The box is not changed. `holdsNowhere`: the caller has tried every pair
 * of it in vain, and asks for a proof by intervals; the answer is the same, and comes sooner.
 */
export function possible(
  formula: Formula,
  box: Box,
  binding: Binding,
  budget: number = defaultBudget,
  holdsNowhere = false,
): Answer {
  return search([formula], copyOf(box), { binding, holdsNowhere, left: budget });
}

/** Narrows the box by a linear constraint; false when nothing is left (before closing). */
export function narrow(
  box: Box,
  { q, k, constant }: { q: number; k: number; constant: number },
): boolean {
  if (q === 1 && k === 0) box.q1 = Math.min(box.q1, -constant);
  else if (q === -1 && k === 0) box.q0 = Math.max(box.q0, constant);
  else if (q === 0 && k === 1) box.k1 = Math.min(box.k1, -constant);
  else if (q === 0 && k === -1) box.k0 = Math.max(box.k0, constant);
  else if (q === 1) box.d1 = Math.min(box.d1, -constant);
  else box.d0 = Math.max(box.d0, constant);
  return box.q0 <= box.q1 && box.k0 <= box.k1 && box.d0 <= box.d1;
}

/** All of `pending` at once. Takes the box for itself. */
function search(pending: readonly Formula[], box: Box, state: Search): Answer {
  if (state.left <= 0) return undecided;
  state.left -= 1;
  const atoms: Expression[] = [];
  const branches: (Formula & { op: 'or' })[] = [];
  const stack = [...pending];
  while (stack.length > 0) {
    const part = stack.pop()!;
    if (part.op === 'false') return refuted;
    if (part.op === 'and') stack.push(...part.parts);
    if (part.op === 'linear' && !narrow(box, part)) return refuted;
    if (part.op === 'atom') atoms.push(part.expression);
    if (part.op === 'or') branches.push(part as Formula & { op: 'or' });
  }
  if (!close(box)) return refuted;
  const open = openOf(atoms, box, state);
  if (!open) return refuted;
  const [branch, ...others] = branches;
  if (branch) {
    const rest: Formula[] = [
      ...others,
      ...open.map((expression): Formula => ({ op: 'atom', expression })),
    ];
    let answer: Answer = refuted;
    for (const part of branch.parts) {
      const found = search([part, ...rest], copyOf(box), state);
      if (found.is === 'yes') return found;
      if (found.is === 'unknown') answer = found;
    }
    return answer;
  }
  return open.length === 0 ? witness(box) : halve(open, box, state);
}

/** The atoms that may hold or not at pairs of a closed box; undefined where one never does. */
function openOf(atoms: readonly Expression[], box: Box, { binding }: Search) {
  const env = boxEnvironment(binding, box);
  const open: Expression[] = [];
  for (const atom of atoms) {
    const truth = truthOf(atom, env);
    if (truth === never) return undefined;
    if (truth === maybe) open.push(atom);
  }
  return open;
}

/** Every bound of a closed box is reached by some pair: (q1, smallest k that fits) is one. */
const witness = (box: Box): Answer => ({
  is: 'yes',
  q: box.q1,
  k: Math.max(box.k0, box.q1 - box.d1),
});

const isPair = (box: Box): boolean => box.q0 === box.q1 && box.k0 === box.k1;

/** All atoms at once, when nothing but atoms is left. Takes the box for itself. */
function searchAtoms(atoms: readonly Expression[], box: Box, state: Search): Answer {
  if (state.left <= 0) return undecided;
  state.left -= 1;
  if (!close(box) || (state.holdsNowhere && isPair(box))) return refuted;
  const open = openOf(atoms, box, state);
  if (!open) return refuted;
  return open.length === 0 ? witness(box) : halve(open, box, state);
}

function halve(open: readonly Expression[], box: Box, state: Search): Answer {
  if (isPair(box)) {
    // A single pair that intervals leave open (a tensor that holds NaN somewhere): just look.
    const env = pointEnvironment(state.binding, box.q0, box.k0);
    const holds = open.every((atom) => evaluate(atom, env) === true);
    return holds ? { is: 'yes', q: box.q0, k: box.k0 } : refuted;
  }
  const [width, height] = [box.k1 - box.k0, box.q1 - box.q0];
  const [low, high] = [copyOf(box), copyOf(box)];
  if (width >= height) {
    const middle = box.k0 + (width >> 1);
    [low.k1, high.k0] = [middle, middle + 1];
  } else {
    const middle = box.q0 + (height >> 1);
    [low.q1, high.q0] = [middle, middle + 1];
  }
  let answer: Answer = refuted;
  for (const half of [low, high]) {
    const found = searchAtoms(open, half, state);
    if (found.is === 'yes') return found;
    if (found.is === 'unknown') answer = found;
  }
  return answer;
}
