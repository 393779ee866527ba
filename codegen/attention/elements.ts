// One element of a step's scores, as CUDA C: which key its column is, whether its query may see it, and the
// author's score of it.

import type { Expression } from '../../dsl/expression.ts';
import { isQuick, scalarText } from '../expression.ts';
import { endsAtQuery } from '../keys.ts';
import type { Names } from '../names.ts';
import type { KernelContext } from './backend.ts';
import type { Exponent } from './exponent.ts';
import type { KernelPass } from './passes.ts';

/** `key_of`, `allowed` of those passes whose masks are asked as a whole; of a score `score`, `is_steep`, `steep_bias`. */
export const elementsText = (
  { passes, score, names }: KernelContext,
  asked: readonly KernelPass[],
  isRelative = false,
): string =>
  [
    '// ---- scores: keys, masks and score functions ----',
    keyText(passes),
    // Of a mask that allows no pair there is no pass, and the loops over steps, which are never run, ask all the same.
    ...(asked.length > 0 || passes.length === 0 ? [allowedText(asked)] : []),
    ...(score?.value ? [scoreText(score.value, names, isRelative)] : []),
    ...(score?.steep ? [steepText(score.steep, names)] : []),
  ].join('\n\n');

/** The key of a column; the number of keys for a column that has none. */
function keyText(passes: readonly KernelPass[]): string {
  const cases = passes.map(({ kind }) => {
    if (kind === 'tiles') return '  if (visit.kind == TILE) return place_of(visit, column);';
    if (kind === 'columns')
      return `  if (visit.kind == COLUMNS) {
    const int entry = place_of(visit, column);
    return entry < p.columns_count[index] ? p.columns_list[(i64)index * p.columns_capacity + entry] : u.k_len;
  }`;
    return '  if (visit.kind == STAND_INS) return place_of(visit, column);';
  });
  return `WARPLOOM_DEVICE int key_of(const Unit& u, const Arguments& p, int index, const Visit& visit, int column) {
${cases.join('\n')}
  return u.k_len;
}`;
}

/** The mask of the pass that a visit belongs to. */
function allowedText(passes: readonly KernelPass[]): string {
  const cases = passes.map(({ kind, mask }) => {
    if (kind === 'rest')
      return '  if (visit.kind == STAND_INS) return key * pool_size < u.k_len && stands_in(u, q, key);';
    const name = kind === 'tiles' ? 'TILE' : 'COLUMNS';
    const allowed = `allowed_${kind}(u, q, key)`;
    const isThere = `key < u.k_len ${isQuick(mask) ? '&' : '&&'} `;
    // What is no more than comparisons may be asked of any key, and rows that are none are not stored.
    const asked = isQuick(mask) && endsAtQuery(mask) ? allowed : isThere + allowed;
    return `  if (visit.kind == ${name}) return ${asked};`;
  });
  return `WARPLOOM_DEVICE bool allowed(const Unit& u, const Visit& visit, int q, int key) {
${cases.join('\n')}
  return false;
}`;
}

const scoreText = (value: Expression, names: Names, isRelative: boolean): string =>
  `// The author's score of the product \`s\` with key k + step, ${isRelative ? 'as an exponent of 2 less the reference of its row' : 'in units that the softmax scales to exponents of 2'}.
WARPLOOM_DEVICE float score(const Unit& u, float s, int q, int k, int step${isRelative ? ', float reference' : ''}) {
  return ${scalarText(value, names, 'score')};
}`;

const steepText = (steep: NonNullable<Exponent['steep']>, names: Names): string =>
  `// Has the unit a slope whose part of a tile would be rounded more coarsely than exponents may be?
WARPLOOM_DEVICE bool is_steep(const Unit& u) {
  return ${scalarText(steep.condition, names)};
}${
    'bias' in steep
      ? `

// What such slopes add at key k + step, to ${steep.place === 'product' ? 'the product' : 'what is made of the product'}.
WARPLOOM_DEVICE float steep_bias(const Unit& u, int q, int k, int step) {
  return ${scalarText(steep.bias, names, 'score')};
}`
      : ''
  }`;
