// Whether the emulator can fuse products on this machine: some processors have no instruction for it, and what needs one
// is left out there, with the reason.

import type { TestContext } from 'vitest';
import { fusesHere } from '../../runtime/emulator/compile.ts';

/** Can products be fused here? A compiler that does not say fails whoever asks. */
export const isFusedHere = await fusesHere();

/** Leaves a test out where products cannot be fused, and says why. */
export const needsFused = ({ skip }: Pick<TestContext, 'skip'>): void =>
  skip(!isFusedHere, 'this processor has no FMA: products cannot be fused here');
