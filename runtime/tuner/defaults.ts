// The shipped table of defaults as the output of the tuner: the form of a plan after the other, by head dimensions and
// lengths, each with a share of the time that is left. What is measured replaces its row, the others stay.

import { type HopperKnobs, hopperTile } from '../../codegen/attention/hopper/knobs.ts';
import {
  type DefaultRow,
  type PlanForm,
  planForms,
} from '../../codegen/attention/hopper/plan-forms.ts';
import type { ChosenSetsData } from '../../dsl/chosen.ts';
import type { AnyPattern } from '../../dsl/pattern.ts';
import type { LaunchShape } from '../../dsl/shape.ts';
import type { Tensor } from '../tensor.ts';
import type { TuneResult } from './result.ts';
import { type TuneOptions, tune } from './tune.ts';

/** A pattern that stands for its form of plans. */
export interface FormWork {
  readonly form: PlanForm;
  readonly pattern: AnyPattern;
  /** Query heads of a KV head. */
  readonly group: number;
  readonly params?: TuneOptions['params'];
  /** The sets of a call, where those that an estimate finds in random tensors are not like real ones. */
  chosen?(shape: LaunchShape): ChosenSetsData;
  captured?(shape: LaunchShape): Readonly<Record<string, Tensor>>;
}

export interface DefaultsOptions {
  readonly works: readonly FormWork[];
  /** Those that matter most come first: time may be up before the last ones. */
  readonly dims: readonly number[];
  readonly lengths: readonly number[];
  readonly device?: string | undefined;
  /** Of all searches together. */
  readonly budgetMs: number;
  readonly signal?: AbortSignal | undefined;
  /** After each search; `row` is undefined where it found nothing for the table. */
  readonly onResult?: (name: string, result: TuneResult, row: DefaultRow | undefined) => void;
  /** Where a search could not be made: it is left out. */
  readonly onFailure?: (name: string, error: unknown) => void;
  /** @internal */
  readonly search?: typeof tune;
  /** @internal */
  readonly now?: () => Date;
}

/** Less is not enough to compile and to compare anything. */
const leastMs = 5000;

/** Of shorter calls nothing is said about all longer ones: their own rows stay, and where there is none, the last serves. */
const leastEndless = 65_536;

/** Elements of all queries: what goes to the device is in host memory before. */
const mostElements = 2 ** 30;

/** What each search found, as rows. */
export async function tuneDefaults(options: DefaultsOptions): Promise<DefaultRow[]> {
  const { works, dims, lengths, device, budgetMs, signal, onResult, onFailure } = options;
  const { search = tune, now = () => new Date() } = options;
  const end = now().getTime() + budgetMs;
  const all = lengths.flatMap((length) =>
    dims.flatMap((dim) => works.map((work) => ({ ...work, dim, length }))),
  );
  const longest = Math.max(...lengths);
  const rows: DefaultRow[] = [];
  for (const [i, { dim, length, ...work }] of all.entries()) {
    const { form, pattern, group, params = {} } = work;
    const left = end - now().getTime();
    if (signal?.aborted || left < leastMs) break;
    const most = Math.min(dim > 128 ? 16 : 32, mostElements / (length * dim));
    const kvHeads = Math.max(1, Math.floor(most / group));
    const lengths = { qLen: length, kLen: length, headDim: dim, valueDim: dim };
    const shape = { batch: 1, heads: kvHeads * group, kvHeads, ...lengths };
    const chosen = work.chosen?.(shape);
    const found = search(pattern, {
      inputs: { ...work.captured?.(shape), shape, dtype: 'bf16', ...(chosen && { chosen }) },
      params,
      device,
      budgetMs: Math.max(leastMs, left / (all.length - i)),
      signal,
    });
    const isEndless = length === longest && length >= leastEndless;
    const upTo = isEndless ? Number.POSITIVE_INFINITY : 2 * length;
    const name = `${pattern.definition.name}, dimension ${dim}, ${length} keys`;
    try {
      const result = await found;
      const row = rowOf(result, form, dim, upTo, now());
      if (row) rows.push(row);
      onResult?.(name, result, row);
    } catch (error) {
      // Another call may fit the device, or have a kernel.
      if (!signal?.aborted) onFailure?.(name, error);
    }
  }
  return rows;
}

/** What gains less than this on what the table says is no other row: another day's search would find another one. */
const leastGain = 0.01;

/** The winner as a row; undefined where it is of the other back-end, was not compared, or of a device without a name. */
function rowOf(
  { best, untuned, chip }: TuneResult,
  form: PlanForm,
  dim: number,
  upTo: number,
  at: Date,
): DefaultRow | undefined {
  const { ratio = 0 } = best.sustained ?? best;
  const isGain = ratio <= 1 - leastGain;
  const { choice, rounds } = isGain ? best : untuned;
  if (!chip || choice.backend !== 'hopper' || rounds === 0) return undefined;
  const measured = `${chip.chip}, driver ${chip.driver}, warploom tune, ${at.toISOString().slice(0, 10)}`;
  return { form, dim, upTo, knobs: choice.knobs, measured };
}

/**
 * The table with rows replaced by those that are of the same form, dimension and lengths. One that says the same as that of
 * longer calls is none.
 */
export function merged(
  known: readonly DefaultRow[],
  measured: readonly DefaultRow[],
): DefaultRow[] {
  const key = ({ form, dim, upTo }: DefaultRow): string => `${form} ${dim} ${upTo}`;
  const all = new Map([...known, ...measured].map((row) => [key(row), row]));
  const rows = [...all.values()].sort(
    (a, b) =>
      planForms.indexOf(a.form) - planForms.indexOf(b.form) ||
      a.dim - b.dim ||
      a.upTo - b.upTo ||
      0,
  );
  const saysAll = ({ form, dim, knobs }: DefaultRow): string => `${form} ${dim} ${tileText(knobs)}`;
  return rows.filter((row, i) => !rows[i + 1] || saysAll(row) !== saysAll(rows[i + 1]!));
}

/** The file codegen/attention/hopper/defaults.ts of a table. */
export const defaultsText = (rows: readonly DefaultRow[]): string => `${head}
export const rows: readonly DefaultRow[] = [
${rows.map((row) => `  ${rowText(row)},`).join('\n')}
]; // biome-ignore format: a table
`;

const head = `// Tiles of Hopper kernels as they were measured. Written by \`npm run tune:defaults\`, which keeps rows of other origin as
// they are: \`measured\` says what a row is of.

import { hopperTile } from './knobs.ts';
import type { DefaultRow } from './plan-forms.ts';
`;

function rowText({ form, dim, upTo, knobs, measured }: DefaultRow): string {
  const fields = [
    `form: '${form}'`,
    `dim: ${dim}`,
    `upTo: ${Number.isFinite(upTo) ? upTo : 'Number.POSITIVE_INFINITY'}`,
    `knobs: ${tileText(knobs)}`,
    `measured: '${measured.replaceAll("'", '')}'`,
  ];
  return `{ ${fields.join(', ')} }`;
}

/** By what is not usual about it. */
function tileText(knobs: HopperKnobs): string {
  const groups = (knobs.warps / 4) as 1 | 2 | 3;
  const usual = Object.entries(hopperTile(groups, knobs.kTile));
  const own = usual.flatMap(([name, value]) => {
    const other = knobs[name as keyof HopperKnobs];
    if (other === value) return [];
    return [`${name}: ${typeof other === 'string' ? `'${other}'` : other}`];
  });
  const more = own.length > 0 ? `, { ${own.join(', ')} }` : '';
  return `hopperTile(${groups}, ${knobs.kTile}${more})`;
}
