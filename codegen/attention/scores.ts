// The scores of a step where a warp has them: in the accumulators of its products. A block is 16 rows by 8
// columns; lane l has rows l / 4 and l / 4 + 8 of it, columns l % 4 * 2 and the next. mma.sync and wgmma agree on
// that. The row blocks of a warp follow each other.

import type { KernelContext } from './backend.ts';
import type { Exponent } from './exponent.ts';
import { type MaskWay, maskText } from './masks/index.ts';
import { gathers } from './passes.ts';
import type { TileKnobs } from './tiles.ts';

/**
 * `Scores` and `mask_scores`; `apply_score`, of a back-end's own where it has one, and `weigh_pools` where needed. Needs
 * elements.ts before it. `masked` has the passes whose mask `mask_scores` is for.
 */
export function scoresText<Knobs extends TileKnobs>(
  context: KernelContext<Knobs>,
  way: MaskWay = 'rows',
  apply: (context: KernelContext<Knobs>) => string = applyText,
  weigh: (context: KernelContext<Knobs>) => string = () => weighText,
  masked = context,
): string {
  const { passes, score } = context;
  const sections = [scoresType, maskText(masked, way)];
  if (score?.value) sections.push(apply(context));
  if (passes.some(({ kind }) => kind === 'rest')) sections.push(weigh(context));
  return `${sections.join('\n\n')}\n`;
}

const scoresType = 'typedef float Scores[row_blocks][score_blocks][4];';

function applyText({ passes, score }: KernelContext): string {
  // Entries of a list are keys of their own; of tiles and pools the first of a lane is enough.
  const isListed = gathers(passes);
  const key = isListed
    ? `
      const int key = key_of(u, p, index, visit, column + j * 8 + e);`
    : '';
  const place = isListed ? 'key, 0' : 'place_of(visit, j * 8) + column - j * 8, j * 8 + e';
  const all = (statement: string): string => `#pragma unroll
  for (int j = 0; j < blocks; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {${key}
#pragma unroll
      for (int i = 0; i < row_blocks; ++i)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float& value = s[i][j][half * 2 + e];
          ${statement}
        }
    }`;
  const at = `q + 16 * i + 8 * half, ${place}`;
  const body = withSteepText(
    score!,
    all(`value = score(u, value, ${at});`),
    all(`value += steep_bias(u, ${at});`),
  );
  return `// Products become the author's scores, in the first score blocks.
template <int blocks = score_blocks>
WARPLOOM_DEVICE void apply_score(const Unit& u, const Arguments& p, int index, const Visit& visit, int q, int column, Scores& s) {
${body}
}`;
}

/** The loops over scores of a kernel, and those that units of steep slopes have before or after. */
export function withSteepText({ steep }: Exponent, loops: string, steepLoops: string): string {
  if (!steep || !('bias' in steep)) return loops;
  const own = `  if (is_steep(u)) {\n${steepLoops}\n  }`;
  return steep.place === 'product' ? `${own}\n${loops}` : `${loops}\n${own}`;
}

export const weighText = `// A mean key stands for so many: the exponent of 2 gains log2(size).
template <int blocks = score_blocks>
WARPLOOM_DEVICE void weigh_pools(const Unit& u, float scale, const Visit& visit, int column, Scores& s) {
  const int last = u.k_len / pool_size;  // the pool that may have fewer keys
  const float inverse = __fdividef(1.f, scale);  // compilers would divide for each key
  const float all = __log2f((float)pool_size) * inverse;
  const float fewer = __log2f((float)max(1, u.k_len - last * pool_size)) * inverse;
#pragma unroll
  for (int j = 0; j < blocks; ++j)
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const float more = place_of(visit, column + j * 8 + e) == last ? fewer : all;
#pragma unroll
      for (int i = 0; i < row_blocks; ++i) {
        s[i][j][e] += more;
        s[i][j][2 + e] += more;
      }
    }
}`;
