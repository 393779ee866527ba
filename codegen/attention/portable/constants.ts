// Sizes of the portable kernel.

import type { KernelContext } from '../backend.ts';
import { padded, pitchOf } from '../tiles.ts';

/** All sizes by name, so that the text that uses them reads without arithmetic. */
export function constantsText({ headDim, valueDim, knobs }: KernelContext): string {
  const { qTile, kTile, warps, stages } = knobs;
  const rows = qTile / warps / 16;
  return `constexpr int head_dim = ${headDim}, value_dim = ${valueDim};
constexpr int q_tile = ${qTile}, k_tile = ${kTile}, threads = ${warps * 32}, stages = ${stages};
constexpr int row_blocks = ${rows};  // of 16 query rows, each warp
constexpr int score_blocks = ${kTile / 8}, value_blocks = ${padded(valueDim) / 8};  // of 8 columns
constexpr int head_steps = ${padded(headDim) / 16}, key_steps = ${kTile / 16};  // of 16, along the sums
constexpr int q_pitch = ${pitchOf(headDim)}, k_pitch = q_pitch, v_pitch = ${pitchOf(valueDim)}, out_pitch = v_pitch;  // bytes of a row
constexpr int q_bytes = q_tile * ${Math.max(pitchOf(headDim), pitchOf(valueDim))}, k_bytes = k_tile * k_pitch, v_bytes = k_tile * v_pitch;
`;
}
