// What masks ask of a key alone, or of a query alone, and that costs a load or a division: `doc.at(q) === doc.at(k)` has
// one of each. A box of pairs asks it once for every key and once for every row, not once for every pair.

import {
  canonical,
  children,
  type Expression,
  mentions,
  rebuild,
} from '../../../dsl/expression.ts';
import { isQuick, scalarText } from '../../expression.ts';
import type { Names } from '../../names.ts';
import { local } from '../../uniforms.ts';
import { remaindersApart } from './remainders.ts';

/** A value of a key, or of a query, that an expression stands for. */
interface Load {
  /** A member of `KeyLoads` or `QueryLoads`. */
  readonly member: string;
  readonly expression: Expression;
}

/** Masks whose loads are members of the variables `of_key` and `of_query`; equal loads are one. */
export interface SplitLoads {
  readonly masks: readonly Expression[];
  readonly ofKey: readonly Load[];
  readonly ofQuery: readonly Load[];
}

/** Splits masks; undefined where none has anything to load. */
export function splitLoads(masks: readonly Expression[]): SplitLoads | undefined {
  const known = { of_key: new Map<string, Load>(), of_query: new Map<string, Load>() };
  const stand = (side: Side, node: Expression): Expression => {
    const loads = known[side];
    const name = canonical(node);
    const load = loads.get(name) ?? { member: `value_${loads.size}`, expression: node };
    loads.set(name, load);
    return local(`${side}.${load.member}`, node.kind as 'int' | 'float');
  };
  const visit = (node: Expression): Expression => {
    const side = isWorthIt(node) ? sideOf(node) : undefined;
    if (side) return stand(side, node);
    const args = children(node);
    return args.length === 0 ? node : ({ ...node, args: args.map(visit) } as Expression);
  };
  const split = masks.map((mask) => visit(rebuild(mask, remaindersApart)));
  const [ofKey, ofQuery] = [[...known.of_key.values()], [...known.of_query.values()]];
  return ofKey.length + ofQuery.length === 0 ? undefined : { masks: split, ofKey, ofQuery };
}

type Side = 'of_key' | 'of_query';

/** Floats other than loads are left: comparisons with an integer need more of their digits than a float has. */
const isWorthIt = (node: Expression): boolean =>
  !isQuick(node) && (node.kind === 'int' || node.op === 'at');

/** Which of the two a value depends on, where it is one of them. */
function sideOf(node: Expression): Side | undefined {
  const key = mentions(node, 'index', 'k');
  const query = mentions(node, 'index', 'q') || mentions(node, 'index', 'row');
  return key === query ? undefined : key ? 'of_key' : 'of_query';
}

/** `KeyLoads`, `QueryLoads`, and how to load them. Needs the captured tensors. */
export function loadsText({ ofKey, ofQuery }: SplitLoads, names: Names): string {
  const struct = (name: string, loads: readonly Load[]): string =>
    `struct ${name} {
${loads.map(({ member, expression }) => `  ${expression.kind} ${member};\n`).join('')}};`;
  const made = (loads: readonly Load[], of: string): string => {
    const values = loads.map(({ expression }) => scalarText(expression, names));
    return loads.length === 0
      ? '  return {};'
      : `  const int ${of};\n  return {${values.join(', ')}};`;
  };
  return `// What the mask asks of a key alone, and of a query alone.
${struct('KeyLoads', ofKey)}
${struct('QueryLoads', ofQuery)}
// Columns and rows of a tile that there are not have those of the nearest: integers are proved for no others.
WARPLOOM_DEVICE KeyLoads load_of_key(const Unit& u, int key) {
${made(ofKey, 'k = min(key, u.k_len - 1)')}
}
WARPLOOM_DEVICE QueryLoads load_of_query(const Unit& u, int row) {
${made(ofQuery, 'q = min(max(row, u.offset), u.k_len - 1)')}
}
`;
}

/** `loads_of_lane`: how lanes hand on what each has loaded of a key, or of a query. */
export function handedOnText(
  name: 'KeyLoads' | 'QueryLoads',
  { ofKey, ofQuery }: SplitLoads,
): string {
  const loads = name === 'KeyLoads' ? ofKey : ofQuery;
  const shuffled = loads.map(({ member }) => `__shfl_sync(FULL_WARP, own.${member}, lane)`);
  return `// What a lane has loaded of its ${name === 'KeyLoads' ? 'key' : 'query'}.
WARPLOOM_DEVICE ${name} loads_of_lane(const ${name}& own, int lane) { return {${shuffled.join(', ')}}; }
`;
}
