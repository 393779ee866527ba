// The portable kernel itself: a block takes its tile of queries through the steps of the walk.

import { firstRowText, tileStartText } from '../addresses.ts';
import type { KernelContext } from '../backend.ts';
import { scaleText } from '../softmax.ts';
import { outputText } from './output.ts';

/** The kernel `attention`. */
export function mainText(context: KernelContext): string {
  const { knobs, passes, score, segments, hasTurns = false } = context;
  const hasRest = passes.some(({ kind }) => kind === 'rest');
  const apply = [
    ...(score?.value
      ? ['    apply_score(u, p, task.index, visits[0], task.start + row, column, s);']
      : []),
    ...(hasRest
      ? ['    if (visits[0].kind == STAND_INS) weigh_pools(u, scale, visits[0], column, s);']
      : []),
  ];
  const checked = score?.value
    ? `    if (!visits[0].full) mask_scores(u, p, task.index, visits[0], task.start + row, column, s);
    Weights weights;
    absorb<true>(scale, s, highest, sum, weights, out);`
    : `    Weights weights;
    if (visits[0].full) {
      absorb<false>(scale, s, highest, sum, weights, out);
    } else {
      mask_scores(u, p, task.index, visits[0], task.start + row, column, s);
      absorb<true>(scale, s, highest, sum, weights, out);
    }`;
  return `// ---- the kernel: one block, one tile of queries of one unit ----

// What a block works on. It lies in shared memory: masks and the walk need it, full tiles do not, and the
// registers belong to the accumulators.
struct Task {
  Unit unit;
  int index;   // of the unit in this launch
  int start;   // position of the tile's first row
  int q0, q1;  // positions of its first and last query
  const u16 *k, *v;
};

extern "C" __global__ void __launch_bounds__(threads, ${knobs.blocks})
attention(const __grid_constant__ Arguments p) {
  extern __shared__ __align__(128) u8 shared[];
  __shared__ Task task;
  const u32 q_shared = shared_address(shared), k_shared = q_shared + q_bytes, v_shared = k_shared + stages * k_bytes;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
${hasTurns ? '  if ((int)blockIdx.x / p.tiles >= p.turn[0]) return;  // this launch has fewer units\n' : ''}  if (threadIdx.x == 0) {
    const int index = ${hasTurns ? 'p.turn[1 + blockIdx.x / p.tiles]' : 'blockIdx.x / p.tiles'}, tile = blockIdx.x % p.tiles;
    const Unit u = load_unit(p, index);
    // The last tiles come first: under a causal mask they are the longest. Tiles are anchored at multiples
    // of their size among the positions, so the first may begin before row 0.
    const int start = ${tileStartText(segments)};
    task.unit = u;
    task.index = index;
    task.start = start;
    task.q0 = max(start, u.offset);
    task.q1 = min(start + q_tile, u.k_len) - 1;
    task.k = ${firstRowText('k', segments)};
    task.v = ${firstRowText('v', segments)};
  }
  __syncthreads();
  const Unit& u = task.unit;
${segments ? '  if (task.q1 < task.q0) return;  // this sequence has fewer tiles\n' : ''}
  // This lane's rows are \`row\` and \`row + 8\` of each block of 16; its columns start at \`column\`.
  const int row = warp * 16 * row_blocks + (lane >> 2), column = (lane & 3) * 2;
  const u32 q_address = fragment_address(q_shared, q_pitch, warp * 16 * row_blocks);

  Walk walk = {0, 0, 0, 0, 0};
  Visit visits[stages + 1];  // of this step and those whose copies are under way
${firstVisits(knobs.stages)}
  copy_rows<q_tile, head_dim, q_pitch>(
      q_shared, ${firstRowText('q', segments)}, p.q_row, task.start - u.offset, u.q_len);
  copy_k(u, p, task.index, visits[0], task.k, k_shared);
#pragma unroll
  for (int i = 1; i < stages; ++i) {
    copy_v(u, p, task.index, visits[i - 1], task.v, v_shared + (i - 1) * v_bytes);
    copy_k(u, p, task.index, visits[i], task.k, k_shared + i * k_bytes);
  }

  const float scale = ${scaleText(context)};
  RowValues highest, sum;
  Output out;
#pragma unroll
  for (int i = 0; i < row_blocks; ++i) {
    highest[i][0] = highest[i][1] = NEGATIVE_INFINITY;
    sum[i][0] = sum[i][1] = 0.f;
#pragma unroll
    for (int j = 0; j < value_blocks; ++j) out[i][j][0] = out[i][j][1] = out[i][j][2] = out[i][j][3] = 0.f;
  }

  // V of the newest visit is loaded under Q K^T, K of the next one under the softmax and P V.
  int slot = 0;
#pragma unroll 1
  while (visits[0].kind != NOTHING) {
    const int newest = stages == 1 ? 0 : (slot + stages - 1) % stages;
    copy_wait<2 * (stages - 1)>();
    __syncthreads();
    copy_v(u, p, task.index, visits[stages - 1], task.v, v_shared + newest * v_bytes);
    // While there are no scores yet, registers are free for it.
    visits[stages] = advance(u, p, task.index, task.q0, task.q1, walk);
    Scores s;
    multiply_scores(q_address, key_address(k_shared + slot * k_bytes), s);
${apply.join('\n')}${apply.length > 0 ? '\n' : ''}    copy_wait<2 * (stages - 1)>();
    __syncthreads();
    copy_k(u, p, task.index, visits[stages], task.k, k_shared + slot * k_bytes);
${checked}
    multiply_values(weights, fragment_address(v_shared + slot * v_bytes, v_pitch, 0), out);
#pragma unroll
    for (int i = 0; i < stages; ++i) visits[i] = visits[i + 1];
    slot = stages == 1 ? 0 : (slot + 1) % stages;
  }
  copy_wait<0>();
  __syncthreads();

${outputText(context)}
}
`;
}

/** The text of a walk is long: more than one is a loop, which moves them on. */
const firstVisits = (stages: number): string =>
  stages === 1
    ? '  visits[0] = advance(u, p, task.index, task.q0, task.q1, walk);\n'
    : `#pragma unroll
  for (int i = 0; i < stages; ++i) visits[i] = {NOTHING, 0, true};
#pragma unroll 1
  for (int done = 0; done < stages; ++done) {
#pragma unroll
    for (int i = 1; i < stages; ++i) visits[i - 1] = visits[i];
    visits[stages - 1] = advance(u, p, task.index, task.q0, task.q1, walk);
  }
`;
