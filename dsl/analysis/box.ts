// A set of (q, k) pairs: a rectangle cut by a band of distances d = q - k. All bounds are inclusive
// integers. Closing makes every bound tight, so emptiness and projections are exact
// (difference constraints over two integers; Mine, "The octagon abstract domain", 2006).

export interface Box {
  q0: number;
  q1: number;
  k0: number;
  k1: number;
  /** Bounds of q - k. */
  d0: number;
  d1: number;
}

export const boxOf = (q0: number, q1: number, k0: number, k1: number): Box => ({
  q0,
  q1,
  k0,
  k1,
  d0: q0 - k1,
  d1: q1 - k0,
});

export const copyOf = ({ q0, q1, k0, k1, d0, d1 }: Box): Box => ({ q0, q1, k0, k1, d0, d1 });

/** Tightens all bounds; false when no pair is left. */
export function close(box: Box): boolean {
  if (box.q0 - box.k1 > box.d0) box.d0 = box.q0 - box.k1;
  if (box.q1 - box.k0 < box.d1) box.d1 = box.q1 - box.k0;
  if (box.k0 + box.d0 > box.q0) box.q0 = box.k0 + box.d0;
  if (box.k1 + box.d1 < box.q1) box.q1 = box.k1 + box.d1;
  if (box.q0 - box.d1 > box.k0) box.k0 = box.q0 - box.d1;
  if (box.q1 - box.d0 < box.k1) box.k1 = box.q1 - box.d0;
  if (box.q0 - box.k1 > box.d0) box.d0 = box.q0 - box.k1;
  if (box.q1 - box.k0 < box.d1) box.d1 = box.q1 - box.k0;
  return box.q0 <= box.q1 && box.k0 <= box.k1 && box.d0 <= box.d1;
}
