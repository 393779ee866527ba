// What is written down of a tuning: lines of JSON that say which choice was best for a call, and which must not
// be used for a kernel. What they mean for a call is store.ts.

import { z } from 'zod';
import type { Choice } from '../../codegen/attention/choice.ts';
import { workOrders } from '../../codegen/attention/hopper/order.ts';

/** Lines of another version are left to those who wrote them. */
export const recordVersion = 1;

const count = z.number().int().positive();
const tile = { qTile: count, kTile: count, warps: count, stages: count, blocks: count };
const choice = z.discriminatedUnion('backend', [
  z.object({
    backend: z.literal('hopper'),
    knobs: z.object({
      ...tile,
      qBuffers: z.union([z.literal(1), z.literal(2)]),
      pingPong: z.boolean(),
      speculative: z.boolean(),
      boxes: z.union([z.literal(1), z.literal(2), z.literal(3)]).default(1),
      headsPerTile: count.default(1),
      work: z.enum(workOrders).default('sections'),
    }),
  }),
  z.object({ backend: z.literal('portable'), knobs: z.object(tile) }),
]) satisfies z.ZodType<Choice>;

/** What a measurement is good for. */
const place = {
  version: z.literal(recordVersion),
  /** Hash of what the kernel computes: `kernelId` of key.ts. */
  kernel: z.string(),
  /** For people: the name of the pattern. */
  pattern: z.string(),
  headDim: count,
  valueDim: count,
  dtype: z.enum(['fp16', 'bf16']),
  /** Name of the chip, and CUDA version of its driver. */
  chip: z.string(),
  driver: z.string(),
  /** When, in UTC. */
  at: z.string(),
  choice,
};

/** The fastest choice for calls of a class of lengths. */
const best = z.object({
  kind: z.literal('best'),
  ...place,
  /** `lengthClass` of the call. */
  length: z.string(),
  /** Milliseconds of a call, and of the same call untuned in the same rounds. */
  ms: z.number(),
  untunedMs: z.number(),
  rounds: z.number(),
  /** [batch, heads, kvHeads, qLen, kLen] of the call that was timed. */
  shape: z.array(z.number()),
  /** False where the budget or Ctrl-C came first. */
  isComplete: z.boolean(),
});

/** A choice whose kernel failed, hung or was wrong: no reason to try that text again. */
const bad = z.object({
  kind: z.literal('bad'),
  ...place,
  why: z.enum(['fails', 'hangs', 'wrong']),
  detail: z.string(),
  /** Hash of the text of the kernel: a generator that writes another is not blamed. */
  text: z.string(),
});

export type BestRecord = z.infer<typeof best>;
export type BadRecord = z.infer<typeof bad>;
export type TuneRecord = BestRecord | BadRecord;

const record = z.discriminatedUnion('kind', [best, bad]);

/** One line as a record; 'other' for one of another version, undefined for a damaged one. */
export function recordOf(line: string): TuneRecord | 'other' | undefined {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return undefined;
  }
  const { success, data } = record.safeParse(value);
  if (success) return data;
  const isOther =
    typeof value === 'object' &&
    value !== null &&
    'version' in value &&
    typeof value.version === 'number' &&
    value.version !== recordVersion;
  return isOther ? 'other' : undefined;
}
