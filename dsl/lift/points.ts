// A point of a mask or score: the numbers of a pair, parameters, and stand-ins for tensors and sets.
// Deterministic: the same seed gives the same points. Which of them matter: flips.ts.

import type { Declarations, ParamDeclaration } from '../declarations.ts';
import type { Environment } from '../evaluate.ts';
import type { Index } from '../expression.ts';

export interface Point {
  readonly index: Readonly<Record<Index, number>>;
  readonly params: Readonly<Record<string, number>>;
  /** Chooses the contents of the stand-ins for tensors and sets. */
  readonly salt: number;
  /** Added to all that a tensor holds, by its name. */
  readonly levels: Readonly<Record<string, number>>;
}

/** Numbers from 0 to 2^32, the same ones every time (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
}

const lengths = [1, 2, 7, 64, 65, 128, 300, 1000, 4096, 70_000];
const borders = [0, 1, 2, 31, 32, 63, 64, 65, 127, 128, 129, 255, 256];
const spreads = [2, 4, 16, 100, 5000];

/** A pair and parameters: near the diagonal, at a border of tiles, or anywhere. */
export function randomPoint(declarations: Declarations, next: () => number, i: number): Point {
  const below = (n: number): number => next() % Math.max(1, n);
  const pick = <T>(list: readonly T[]): T => list[below(list.length)]!;
  const kLen = pick(lengths);
  const qLen = i % 3 === 0 ? kLen : 1 + below(kLen);
  const row = i % 2 === 0 ? below(qLen) : Math.min(pick(borders), qLen - 1);
  const q = row + kLen - qLen;
  const near = Math.max(0, q - below(pick(spreads)));
  const k = i % 4 === 0 ? near : i % 4 === 1 ? pick(borders) : below(kLen);
  const head = below(8);
  const index = {
    q, k, row, head, kvHead: head >> 2, batch: below(3), qLen, kLen,
    s: (below(4001) - 2000) / 128,
  }; // biome-ignore format: one pair
  const params: Record<string, number> = {};
  for (const [name, declared] of Object.entries(declarations.params)) {
    params[name] = randomParam(declared, pick(spreads), below);
  }
  return { index, params, salt: next(), levels: {} };
}

/** A value inside the bounds, near the lower one: there the interesting values are. */
function randomParam(
  { kind, lo, hi }: ParamDeclaration,
  spread: number,
  below: (n: number) => number,
): number {
  const from = Number.isFinite(lo) ? lo : Math.max(-8, Math.min(hi, 0) - 8);
  const to = Math.min(hi, from + spread);
  if (kind === 'int') return Math.ceil(from) + below(Math.floor(to) - Math.ceil(from) + 1);
  const value = Math.fround(from + ((to - from) * below(33)) / 32);
  // Rounding to float32 may have left the bounds.
  return value < lo || value > hi ? from : value;
}

/** Stand-ins for tensors and sets: hashes of name and indices, in small ranges so that values meet. */
export function environment({ index, params, salt, levels }: Point): Environment {
  return {
    index,
    params,
    at(tensor, indices) {
      // Now a handful of values, now many: documents and positions.
      const range = salt % 3 === 0 ? 512 : 4;
      const value = hash(tensor, indices, salt) % range;
      return value - (salt % 2) + (levels[tensor] ?? 0);
    },
    has(set, indices) {
      return hash(set, indices, salt) % 8 < 1 + (salt % 7);
    },
  };
}

function hash(name: string, indices: readonly number[], salt: number): number {
  let h = salt | 0;
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
  for (const index of indices) h = Math.imul(h ^ (index | 0), 0x85ebca6b) ^ (h >>> 13);
  h ^= h >>> 16;
  return Math.imul(h, 0xc2b2ae35) >>> 0;
}

/** Numbers as the laws compare them: NaN equals itself, -0 equals 0. */
export const sameResult = (a: unknown, b: unknown): boolean =>
  a === b || (typeof a === 'number' && typeof b === 'number' && Number.isNaN(a) && Number.isNaN(b));
