// How long the laws are tried: little by default, as long as WARPLOOM_RUNS says otherwise.

import { test } from 'vitest';

const scaled = process.env.WARPLOOM_RUNS;
const seeded = process.env.WARPLOOM_SEED;

/** How often a law is tried: so many times, or WARPLOOM_RUNS; the seed is fast-check's, or WARPLOOM_SEED. */
export const runs = (usual: number): { numRuns: number; seed?: number } => ({
  numRuns: scaled === undefined ? usual : Number(scaled),
  ...(seeded === undefined ? {} : { seed: Number(seeded) }),
});

/** A test that may take as long as its runs need. */
export const law = (claim: string, body: () => void | Promise<void>): void =>
  test(claim, body, scaled === undefined ? 60_000 : 86_400_000);
