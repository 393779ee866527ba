// C identifiers for what a pattern is given: parameters, captured tensors and chosen sets keep their
// names behind a prefix, so that they clash neither with ours nor with C.

import type { Declarations } from '../dsl/declarations.ts';
import { isUniformName } from './uniforms.ts';

export type GivenKind = 'param' | 'tensor' | 'set';

/** The identifier of a given thing. Characters that C does not have become `_`, then a number follows. */
export type Names = (kind: GivenKind, name: string) => string;

export function namesOf({ params, tensors, sets }: Declarations): Names {
  const known = new Map<string, string>();
  const used = new Set<string>();
  const add = (kind: GivenKind, name: string): void => {
    const plain = `${kind}_${name.replace(/\W/g, '_')}`;
    let identifier = plain;
    for (let i = 2; used.has(identifier); i += 1) identifier = `${plain}_${i}`;
    used.add(identifier);
    known.set(`${kind} ${name}`, identifier);
  };
  for (const name of Object.keys(params)) add('param', name);
  for (const name of Object.keys(tensors)) add('tensor', name);
  for (const name of Object.keys(sets)) add('set', name);
  return (kind, name) =>
    isUniformName(name) ? `uniform_${name.slice(1)}` : known.get(`${kind} ${name}`)!;
}
