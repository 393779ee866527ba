// What a mask lets through, 32 keys of a query at a time, as CUDA C: what it asks of sums, of the query alone and of sets is
// runs of bits and words of bitmaps, without a question for each pair. Bits may be pools of keys as well: those all of
// whose keys are let through.

import { type Formula, formulaOf } from '../../dsl/analysis/formula.ts';
import { type Expression, mentions } from '../../dsl/expression.ts';
import { scalarText } from '../expression.ts';
import { blockOf, type Constraint, constraintsOf, positional, shiftOf } from '../keys.ts';
import type { Names } from '../names.ts';

/** What the bits of a word are. */
interface Bits {
  /** Keys of one bit. */
  readonly size: number;
  /** The first one is a multiple of so many of them. */
  readonly multiple: number;
}

/** A word, and whether the mask has the same part in it for all keys of a bit. */
interface Word {
  readonly text: string;
  readonly isSame: boolean;
}

/**
 * `<name>(u, q, at)`: the keys, or pools, that query q may attend to, of the 32 from `at` on; undefined where the mask asks
 * something else of the keys. Needs the primitives of sets where it asks any.
 */
export function wordsText(
  name: string,
  mask: Expression,
  bits: Bits,
  names: Names,
): string | undefined {
  const word = wordOf(formulaOf(positional(mask)), bits, names);
  if (!word) return undefined;
  const { size } = bits;
  const within =
    size === 1
      ? 'last + 1'
      : `last >= u.k_len - 1 ? (u.k_len + ${size - 1}ll) / ${size} : last < 0 ? 0 : (last + 1) / ${size}`;
  const before = size === 1 ? 'first' : `first <= 0 ? 0 : (first + ${size - 1}) / ${size}`;
  const what =
    size === 1 ? 'Keys' : `Pools of ${size} keys, the last one of what is left, all of which are`;
  return `// ${what} up to \`last\`, and from \`first\` on, of the 32 from \`at\` on.
WARPLOOM_DEVICE u32 ${name}_up_to(const Unit& u, int at, i64 last) { return first_bits((${within}) - at); }
WARPLOOM_DEVICE u32 ${name}_from(int at, i64 first) { return ~first_bits((${before}) - at); }
// Those that query q may attend to.
WARPLOOM_DEVICE u32 ${name}(const Unit& u, int q, int at) {
  return ${name}_up_to(u, at, u.k_len - 1) & ${word.text.replaceAll('$', name)};
}`;
}

/** `$` stands for the name. */
function wordOf(formula: Formula, bits: Bits, names: Names): Word | undefined {
  switch (formula.op) {
    case 'true':
      return { text: 'FULL_WARP', isSame: true };
    case 'false':
      return { text: '0u', isSame: true };
    case 'and':
    case 'or': {
      const parts = formula.parts.map((part) => wordOf(part, bits, names));
      const known = parts.filter((part) => part !== undefined);
      if (known.length < parts.length) return undefined;
      // Keys of one pool may each have another part to thank: what they have in common is then not that of the parts.
      if (formula.op === 'or' && known.filter((part) => !part.isSame).length > 1) return undefined;
      const operator = formula.op === 'and' ? ' & ' : ' | ';
      return {
        text: `(${known.map(({ text }) => text).join(operator)})`,
        isSame: known.every((part) => part.isSame),
      };
    }
    case 'linear':
    case 'atom': {
      const constraints = constraintsOf(formula, names);
      if (constraints) return boundWord(constraints, bits);
      return formula.op === 'atom' ? atomWord(formula.expression, bits, names) : undefined;
    }
  }
}

function boundWord(constraints: readonly Constraint[], { size }: Bits): Word {
  const words = constraints.map(({ q, k, rest }) => {
    const sum = q === 0 ? rest : `${q}ll * q + ${rest}`;
    if (k === 0) return `(${sum} <= 0 ? FULL_WARP : 0u)`;
    return k > 0 ? `$_up_to(u, at, -(${sum}))` : `$_from(at, ${sum})`;
  });
  return {
    text: `(${words.join(' & ')})`,
    isSame: size === 1 || constraints.every(({ k }) => k === 0),
  };
}

function atomWord(node: Expression, bits: Bits, names: Names): Word | undefined {
  if (!mentions(node, 'index', 'k'))
    return { text: `(${scalarText(node, names)} ? FULL_WARP : 0u)`, isSame: true };
  if (node.op === 'not') {
    const word = atomWord(node.args[0], bits, names);
    return word && { text: `~${word.text}`, isSame: true };
  }
  const text = node.op === 'has' ? setText(node, bits, names) : undefined;
  return text === undefined ? undefined : { text, isSame: true };
}

/** A word of a set: all keys of a bit ask for the same member. */
function setText(
  node: Expression & { op: 'has' },
  { size, multiple }: Bits,
  names: Names,
): string | undefined {
  if (node.args.slice(0, -1).some((arg) => mentions(arg, 'index', 'k'))) return undefined;
  const row = node.args.length === 2 ? scalarText(node.args[0]!, names) : '0';
  const set = `u.${names('set', node.set)}, ${row}`;
  const blocks = blockOf(node);
  if (blocks) {
    const { block, shift } = blocks;
    if (shift === 0 && block === size) return `set_bits(${set}, at)`;
    // A word lies within a block.
    return size === 1 && multiple % 32 === 0 && block % 32 === 0 && shift % 32 === 0
      ? `(set_has(${set}, floor_div(at + ${shift}, ${block})) ? FULL_WARP : 0u)`
      : undefined;
  }
  const search = size === 1 ? shiftOf(node) : undefined;
  if (!search) return undefined;
  const rest = `clamp_int((i64)${scalarText(search.rest, names)} ${search.sign === 1 ? '+ at' : '- at - 31'})`;
  const word = `set_bits(${set}, ${rest})`;
  return search.sign === 1 ? word : `__brev(${word})`;
}
