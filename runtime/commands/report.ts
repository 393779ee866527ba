// What `run` says of a call: a table for people, one object for programs.

import { isHeadPatterns } from '../../dsl/heads.ts';
import { grouped, percent, unitNames } from '../../dsl/plan/explain.ts';
import type { Device } from '../device.ts';
import type { Explanation } from '../explain.ts';
import type { AttentionInputs } from '../inputs.ts';
import type { HeadRecall } from '../recall.ts';
import { deviceData } from './devices.ts';
import type { Check } from './oracle.ts';
import type { Values } from './parameters.ts';
import type { Made, StageTimes } from './performed.ts';
import type { Target } from './target.ts';
import { duration, table } from './terminal.ts';

/** What a head keeps of dense causal attention, and how far its outputs are off. */
export interface KeptOfDense extends HeadRecall {
  readonly outputError: number;
}

export interface Report extends Made {
  readonly target: Target;
  readonly inputs: AttentionInputs;
  readonly params: Values;
  readonly device: Device;
  readonly check: Check | undefined;
  /** What each head keeps of dense causal attention, where it was asked for. */
  readonly recalls: readonly KeptOfDense[] | undefined;
  readonly file: string | undefined;
  readonly chosenFile: string | undefined;
}

/** Of heads that attend to the hull of their mask. */
export const nothingChosen = 'every key that the mask could allow, none chosen';
const tooMuchChosen =
  'every key that the mask could allow, as what they chose would cost no less than dense attention';

export function textOf({
  target,
  device,
  planned,
  plans,
  ms,
  stages,
  dense,
  check,
  recalls,
  file,
  chosenFile,
}: Report): string {
  const { batch, heads, kvHeads, qLen, kLen, headDim, valueDim } = planned.shape;
  const lines = plans ? plans.parts.map(titleOf) : [target.name];
  const dims = headDim === valueDim ? `${headDim}` : `${headDim}/${valueDim}`;
  const sizes = `batch ${batch}, heads ${heads}/${kvHeads}, ${grouped(qLen)} queries x ${grouped(kLen)} keys, dim ${dims}`;
  lines.push(
    `${sizes}, ${planned.dtype}; ${device.description}`,
    '',
    plans
      ? tableOf(plans, batch, heads, recalls)
      : "so many rows are not planned for a report: 'warploom explain' tells what they visit",
    '',
  );
  const isDynamic = target.definitions.some(({ estimates }) => estimates.length > 0);
  lines.push(timesText(device, ms, isDynamic, batch * heads));
  if (stages && isDynamic) lines.push(stagesText(stages));
  for (const [units, why] of [
    [dense.before, nothingChosen],
    [dense.after, tooMuchChosen],
  ] as const)
    if (units.length > 0) lines.push(`${unitNames(units, heads, batch)}: ${why}`);
  if (check) lines.push(checkText(check, qLen));
  if (file !== undefined) lines.push(`wrote out and lse to ${file}`);
  if (chosenFile !== undefined) lines.push(`wrote the chosen sets to ${chosenFile}`);
  return lines.join('\n');
}

/** A pattern with the numbers that all heads share. */
function titleOf({ pattern, launch }: Explanation['parts'][number]): string {
  const values = Object.entries(launch.groups[0]?.summary.params ?? {});
  const same = values.filter(([name, value]) =>
    launch.groups.every(({ summary }) => summary.params[name] === value),
  );
  const shown = same.map(([name, value]) => `${name} ${Number(value.toPrecision(6))}`).join(', ');
  return shown ? `${pattern}  (${shown})` : pattern;
}

function timesText(device: Device, ms: Made['ms'], isDynamic: boolean, heads: number): string {
  const each = duration((ms.device ?? ms.attention) / Math.max(1, heads));
  const attention =
    ms.device === undefined
      ? `attention ${duration(ms.attention)} (${each} a head)`
      : `attention ${duration(ms.device)} on the device (${each} a head), ${duration(ms.attention)} seen from the host`;
  if (device.kind === 'cpu')
    return `${isDynamic ? 'estimate and plans' : 'plans'} ${duration(ms.estimate)}, ${attention}`;
  return isDynamic ? `estimate ${duration(ms.estimate)}, ${attention}` : attention;
}

/** Stage by stage, in their order. */
function stagesText(stages: StageTimes): string {
  const named = (['estimate', 'select', 'convert', 'attention'] as const).flatMap((stage) =>
    stages[stage] === undefined ? [] : [`${stage} ${duration(stages[stage])}`],
  );
  return `stages: ${named.join(', ')}`;
}

function tableOf(
  { parts }: Explanation,
  batch: number,
  heads: number,
  recalls: readonly KeptOfDense[] | undefined,
): string {
  const several = parts.length > 1;
  const all = parts.flatMap(({ launch }) => launch.groups.map(({ summary }) => summary));
  const hasColumns = all.some(({ columnSteps }) => columnSteps > 0);
  const hasStandIns = all.some(({ standIns }) => standIns > 0);
  const title = [
    'heads',
    ...(several ? ['pattern'] : []),
    'density',
    'cost',
    ...(recalls ? ['mass', 'output error'] : []),
    'tiles visited',
    'full',
    'partial',
    ...(hasColumns ? ['column steps'] : []),
    ...(hasStandIns ? ['stand-ins'] : []),
  ];
  const rows = parts.flatMap(({ pattern, launch }) =>
    launch.groups.map(({ units, summary }) => [
      unitNames(units, heads, batch).replace(/^heads? /, ''),
      ...(several ? [pattern] : []),
      percent(summary.density),
      percent(summary.cost.share),
      ...(recalls
        ? [
            percent(meanOf(units.map((unit) => recalls[unit]!.mean))),
            percent(meanOf(units.map((unit) => recalls[unit]!.outputError))),
          ]
        : []),
      grouped(summary.tiles.visited),
      grouped(summary.tiles.full),
      grouped(summary.tiles.partial),
      ...(hasColumns ? [grouped(summary.columnSteps)] : []),
      ...(hasStandIns ? [grouped(summary.standIns)] : []),
    ]),
  );
  return table([title, ...rows]);
}

const meanOf = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

function checkText({ rows, error, bound, isWithin }: Check, qLen: number): string {
  const part = (name: 'out' | 'lse') =>
    `${name} off by ${error[name].toExponential(1)} (bound ${bound[name].toExponential(1)})`;
  const which = rows < qLen ? `${grouped(rows)} of ${grouped(qLen)} rows` : 'all rows';
  return `oracle, ${which}: ${part('out')}, ${part('lse')}: ${isWithin ? 'within' : 'OUTSIDE'} the bound`;
}

/** What a program reads: one entry per batch entry and head. */
export function dataOf({
  target,
  params,
  inputs,
  device,
  planned,
  plans,
  kernels,
  result,
  ms,
  stages,
  dense,
  open,
  check,
  recalls,
  file,
  chosenFile,
}: Report) {
  const { batch, heads } = planned.shape;
  const [before, all] = [new Set(dense.before), new Set([...dense.before, ...dense.after])];
  const units = (plans?.parts ?? []).flatMap(({ pattern, launch }) =>
    launch.groups.flatMap(({ units: members, summary }) =>
      members.map((unit) => ({
        batch: Math.floor(unit / heads),
        head: unit % heads,
        pattern,
        params: summary.params,
        density: summary.density,
        cost: summary.cost.share,
        dense: all.has(unit),
        costKnown:
          before.has(unit) || !open.includes(unit % heads) ? 'before selection' : 'after selection',
        tiles: summary.tiles,
        columnSteps: summary.columnSteps,
        standIns: summary.standIns,
      })),
    ),
  );
  units.sort((a, b) => a.batch - b.batch || a.head - b.head);
  return {
    pattern: target.name,
    byHead: isHeadPatterns(target.pattern),
    params,
    shape: planned.shape,
    dtype: planned.dtype,
    layout: inputs.q.layout,
    device: deviceData(device),
    ...(kernels && { kernels }),
    ...(plans && { heads: units }),
    ...(recalls && { recall: recalls }),
    ms: {
      ...ms,
      perHead: (ms.device ?? ms.attention) / Math.max(1, batch * heads),
      ...(stages && { stages }),
    },
    ...(check && { check }),
    ...(chosenFile !== undefined && { chosenFile }),
    ...(file !== undefined && { file, tensors: { out: result.out.shape, lse: result.lse.shape } }),
  };
}
