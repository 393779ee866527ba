// How the keys of a pass are walked over where warpgroups ask for keys apart: by the members of a set that its mask asks, by a
// list, or box by box. What the walk itself finds out of a mask, the warps that compute need not ask again.

import { bool, chain, type Expression, operands, walk } from '../../../dsl/expression.ts';
import { blockOf, type ShiftSearch, shiftOf } from '../../keys.ts';
import type { KernelPass } from '../passes.ts';
import { sameForRows, splitByRows } from '../rows.ts';

/** Rows of queries of a warpgroup: what the walk asks is the same for all of them. */
export const groupRows = 64;

/** Boxes of a block that half of a warp can hold. */
const mostBoxes = 16;

/** `own` is what is left of the mask for the warps that compute. */
export type BoxWalk = { readonly own: Expression } & (
  | { readonly form: 'boxes' }
  /** A set asked at `rest + sign * key`. */
  | { readonly form: 'distances'; readonly set: string; readonly search: ShiftSearch }
  /** A set of blocks of `block` keys, the first one `shift` before key 0; of two axes, asked at `row`. */
  | {
      readonly form: 'blocks';
      readonly set: string;
      readonly row: Expression | undefined;
      readonly block: number;
      readonly shift: number;
    }
  /** A list of keys; `shared` is asked once for each. */
  | { readonly form: 'list'; readonly shared: Expression }
);

/** Masks of more nodes are asked in too many places of some kernels: their compilation would take minutes. */
const mostNodes = 60;

export const isLarge = (passes: readonly KernelPass[]): boolean =>
  passes.flatMap(({ mask }) => [...walk(mask)]).length > mostNodes;

const isKey = ([key, ...more]: readonly Expression[]): boolean =>
  more.length === 0 && key?.op === 'index' && key.name === 'k';

/** How a pass is walked over in boxes of so many keys. */
export function walkOf(pass: KernelPass, keys: number): BoxWalk {
  const { kind, mask } = pass;
  if (kind === 'rest') return { form: 'boxes', own: mask };
  const parts = operands(mask, 'and');
  if (kind === 'columns') {
    // What is on the list is a member.
    const rest = chain(
      'and',
      parts.filter((part) => !(part.op === 'has' && part.set === pass.set && isKey(part.args))),
    );
    const { shared = bool(true), own = rest } = splitByRows(rest, groupRows) ?? {};
    return { form: 'list', shared, own };
  }
  for (const part of parts) {
    const own = chain(
      'and',
      parts.filter((other) => other !== part),
    );
    if (part.op !== 'has') continue;
    const row = part.args.length === 2 ? part.args[0]! : undefined;
    if (row && !sameForRows(row, groupRows)) continue;
    const search = shiftOf(part);
    if (search && !row && sameForRows(search.rest, groupRows))
      return { form: 'distances', set: part.set, search, own };
    const blocks = blockOf(part);
    if (
      blocks &&
      blocks.block % keys === 0 &&
      blocks.block <= mostBoxes * keys &&
      blocks.shift % keys === 0
    )
      return { form: 'blocks', set: part.set, row, ...blocks, own };
  }
  return { form: 'boxes', own: mask };
}
