// The three rules of selections: the largest of a row (largest.ts), all above a threshold, the fewest that hold a mass.
// Device side: device/select-*.cuh.

import { largestText, type SelectRole } from './largest.ts';
import { blockOfRow, type RowsOfLeaf, type RuleText } from './rule-text.ts';
import { blockOfShort, hasShortRows, indexOfShort, sharedOfShort } from './short-rows.ts';

/** How a kernel picks from rows that `threads` share. */
export function ruleText(spec: RowsOfLeaf, threads: number, role: SelectRole): RuleText {
  const { leaf } = spec;
  if (leaf.op === 'topk') return largestText(spec, threads, role);
  if (leaf.op === 'cover') return massText(spec, threads);
  return {
    suffix: '',
    shared: ['__shared__ WarpValues<float> floats;'],
    call: `choose_above<${leaf.reference === 'sum'}>(floats, seen, p.share[blockIdx.y])`,
    primitives: [],
    block: blockOfRow(threads),
  };
}

/** The fewest that hold a mass: of a short row in registers of one warp. */
function massText({ leaf }: RowsOfLeaf, threads: number): RuleText {
  const mass = 'p.mass[blockIdx.y]';
  if (hasShortRows(leaf, threads))
    return {
      suffix: '_short',
      shared: [],
      call: `choose_mass_of_short(${sharedOfShort}, seen, ${mass})`,
      isOfWarp: true,
      primitives: ['select-short-row', 'select-short-mass'],
      block: blockOfShort(4),
      index: indexOfShort,
    };
  return {
    suffix: '',
    shared: [
      '__shared__ RadixShared shared;',
      '__shared__ WarpValues<float> floats;',
      '__shared__ WarpValues<u64> integers;',
    ],
    call: `choose_mass(shared, floats, integers, seen, ${mass})`,
    primitives: [],
    block: blockOfRow(threads),
  };
}
