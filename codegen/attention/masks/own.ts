// What each pair of a box is asked of the masks of the passes, as CUDA C, by the kind of what is visited.

import type { Expression } from '../../../dsl/expression.ts';
import { isQuick, scalarText } from '../../expression.ts';
import { endsAtQuery } from '../../keys.ts';
import type { Names } from '../../names.ts';
import type { KernelPass } from '../passes.ts';
import { visitKinds } from '../walk.ts';
import { loadsText, type SplitLoads, splitLoads } from './loads.ts';

/** By the kind of a visit. */
export const byKind = (
  passes: readonly KernelPass[],
  text: (kind: KernelPass['kind'], i: number) => string | undefined,
): string =>
  passes
    .flatMap(({ kind }, i) => {
      const line = text(kind, i);
      return line === undefined
        ? []
        : [`  if (visit.kind == ${visitKinds[kind]}) return ${line};\n`];
    })
    .join('');

/** `allowed_own`: the mask of a pass, or a part of it, given what it asks of the key alone and of the query alone. */
export interface OwnMasks {
  readonly text: string;
  /** What is asked of the key alone and of the query alone, `KeyLoads` and `QueryLoads`; undefined where nothing is. */
  readonly loads: SplitLoads | undefined;
  /** Passes whose mask is asked as a whole, by `allowed` (elements.ts). */
  readonly whole: readonly KernelPass[];
  /** Of `key` for a query. */
  readonly call: (q: string, loads: string) => string;
}

/** `parts`: of the masks of passes, where it is less than all of them. Pools are asked as ever. */
export function ownMasks(
  passes: readonly KernelPass[],
  parts: readonly (Expression | undefined)[],
  names: Names,
): OwnMasks {
  const masks = passes.map(({ kind, mask }, i) =>
    kind === 'rest' ? undefined : (parts[i] ?? mask),
  );
  const loads = splitLoads(masks.filter((mask) => mask !== undefined));
  const [parameters, given] = loads
    ? [', const KeyLoads& of_key, const QueryLoads& of_query', ', of_key, of_query']
    : ['', ''];
  const left = [...(loads?.masks ?? masks.filter((mask) => mask !== undefined))];
  const asked = masks.map((mask) => mask && left.shift()!);
  const isOwn = (i: number): boolean => asked[i] !== undefined && (loads ?? parts[i]) !== undefined;
  const functions = passes.map(({ kind }, i) =>
    isOwn(i)
      ? `WARPLOOM_DEVICE bool own_${kind}(const Unit& u, int q, int k${parameters}) {
  return ${scalarText(asked[i]!, names)};
}
`
      : '',
  );
  const calls = byKind(passes, (kind, i) => {
    if (!isOwn(i)) return 'allowed(u, visit, q, key)';
    // What a pair costs may be saved where there is no such key; where it costs nothing, the mask says that itself.
    const isKnown = parts[i] ?? (isQuick(asked[i]!) && endsAtQuery(masks[i]!));
    return `${isKnown ? '' : 'key < u.k_len && '}own_${kind}(u, q, key${given})`;
  });
  return {
    text: `${loads ? loadsText(loads, names) : ''}${functions.join('')}WARPLOOM_DEVICE bool allowed_own(const Unit& u, const Visit& visit, int q, int key${parameters}) {
${calls}  return true;
}
`,
    loads,
    whole: passes.filter((_, i) => !isOwn(i)),
    call: (q, own) => `allowed_own(u, visit, ${q}, key${loads ? `, ${own}` : ''})`,
  };
}
