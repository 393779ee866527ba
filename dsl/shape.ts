// The sizes of one attention call, and its units of work. Positions, heads and offsets in one place.

/** All sizes of a call. `q` is [batch, heads, qLen, headDim], `k` [batch, kvHeads, kLen, headDim], `v` [batch, kvHeads, kLen, valueDim]. */
export interface LaunchShape {
  readonly batch: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly qLen: number;
  readonly kLen: number;
  readonly headDim: number;
  readonly valueDim: number;
}

/** One query head of one batch entry. */
export interface Unit {
  readonly batch: number;
  readonly head: number;
  readonly kvHead: number;
}

/** Position of row 0 among the keys: queries are aligned with the end of the keys (negative when qLen > kLen). */
export const queryOffset = (shape: { readonly qLen: number; readonly kLen: number }): number =>
  shape.kLen - shape.qLen;

export const kvHeadOf = (shape: LaunchShape, head: number): number =>
  Math.floor(head / (shape.heads / shape.kvHeads));

export function* unitsOf(shape: LaunchShape): Generator<Unit> {
  for (let batch = 0; batch < shape.batch; batch += 1) {
    for (let head = 0; head < shape.heads; head += 1) {
      yield { batch, head, kvHead: kvHeadOf(shape, head) };
    }
  }
}
