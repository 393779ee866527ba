// What a bench of attention found: the JSON that our half and the rivals' both write, and its table.

import { z } from 'zod';
import { table } from '../../../runtime/commands/terminal.ts';

const result = z.object({
  work: z.string(),
  /** Who did it: 'warploom', or the name of a rival. */
  contender: z.string(),
  /** (query, key) pairs that the mask allows, over all heads; a pair is 4 x head dimension operations. */
  pairs: z.number(),
  headDim: z.number(),
  /** Of one call in each round, in the order of the rounds; empty where it failed. */
  ms: z.array(z.number()),
  /** The mean clock of the multiprocessors in each round, where it could be read. */
  megahertz: z.array(z.number()),
  /** Of some rows, against float64 or float32. */
  error: z.object({ out: z.number(), lse: z.number().nullable() }).nullable(),
  /** What has to be done once for a mask before calls are as quick, such as a block mask. */
  preparationMs: z.number().nullable(),
  failure: z.string().nullable(),
});

export const reportSchema = z.object({
  device: z.object({
    name: z.string(),
    /** Floating-point operations of all tensor cores in a cycle, of fp16 and bf16. */
    operationsPerCycle: z.number().nullable(),
  }),
  /** What ran, by name: its versions. */
  versions: z.record(z.string(), z.string()),
  date: z.string(),
  results: z.array(result),
});

export type Result = z.infer<typeof result>;
export type Report = z.infer<typeof reportSchema>;

/** Medians, and what follows from them; undefined where nothing was measured. */
export interface Figures {
  readonly ms: number;
  readonly teraflops: number;
  readonly megahertz: number | undefined;
  /** Of what the tensor cores can do at that clock. */
  readonly shareOfPeak: number | undefined;
}

export function figuresOf(
  { ms, megahertz, pairs, headDim }: Result,
  { operationsPerCycle }: Report['device'],
): Figures | undefined {
  const time = median(ms);
  if (time === undefined) return undefined;
  const teraflops = (4 * headDim * pairs) / (time * 1e9);
  const clock = median(megahertz);
  const shareOfPeak =
    clock === undefined || operationsPerCycle === null
      ? undefined
      : (teraflops * 1e6) / (operationsPerCycle * clock);
  return { ms: time, teraflops, megahertz: clock, shareOfPeak };
}

export const median = (values: readonly number[]): number | undefined =>
  [...values].sort((a, b) => a - b)[values.length >> 1];

/** One line for each result; those that failed say why below. */
export function reportText(report: Report): string {
  const title = ['', 'by', 'ms', 'TFLOP/s', 'MHz', 'of peak', 'error', 'mask ms'];
  const rows = report.results.map((one) => [
    one.work,
    one.contender,
    ...figureCells(figuresOf(one, report.device)),
    one.error ? one.error.out.toExponential(1) : '-',
    one.preparationMs === null ? '-' : one.preparationMs.toFixed(1),
  ]);
  const used = title.flatMap((name, column) =>
    name === 'mask ms' && rows.every((row) => row[column] === '-') ? [] : [column],
  );
  const kept = [title, ...rows].map((row) => used.map((column) => row[column]!));
  return [headText(report), table(kept), ...failureLines(report)].join('\n');
}

/** `ms`, `TFLOP/s`, `MHz` and `of peak`. */
export const figureCells = (figures: Figures | undefined): string[] => [
  figures === undefined ? '-' : figures.ms.toFixed(figures.ms < 10 ? 3 : 1),
  figures?.teraflops.toFixed(1) ?? '-',
  figures?.megahertz?.toFixed(0) ?? '-',
  figures?.shareOfPeak === undefined ? '-' : `${(100 * figures.shareOfPeak).toFixed(1)} %`,
];

export const headText = ({ device, versions, date }: Report): string =>
  [device.name, ...Object.entries(versions).map((pair) => pair.join(' ')), date].join(', ');

export const failureLines = ({ results }: Report): string[] =>
  results.flatMap(({ work, contender, failure }) =>
    failure === null ? [] : [`${work}, ${contender}: ${failure}`],
  );
