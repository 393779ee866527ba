// A launch explained: its units summed up, equal ones once, proved on a sample, as data and as text.
// Data in, text out: nothing is planned, compiled or timed here.

import { canonical } from '../expression.ts';
import { printNumber } from '../print.ts';
import type { LaunchShape } from '../shape.ts';
import { spread } from '../spread.ts';
import { atOnce, between, partOf, type Turns } from '../turns.ts';
import { type Proof, proofTurns } from './coverage.ts';
import { type SummaryOptions, summaryTurns, type UnitSummary } from './summary.ts';
import { type Form, type UnitPlan, workspaceOf } from './unit.ts';
import type { Stretch } from './walk.ts';

/** Units whose plans are equal. */
export interface UnitGroup {
  /** `batch * heads + head` of each. */
  readonly units: readonly number[];
  readonly summary: UnitSummary;
  /** The proof that the plan does what the mask says, on `provedTiles` of its query tiles. */
  readonly proof: Proof;
  readonly provedTiles: number;
}

export interface LaunchSummary {
  readonly groups: readonly UnitGroup[];
  /** Over all units, each weighing the same. */
  readonly density: number;
  /** Weighted steps of all units as a share of the dense ones. */
  readonly costShare: number;
  /** Bytes by what they are for, shared data once. */
  readonly workspace: Readonly<Record<string, number>>;
}

export interface LaunchOptions extends SummaryOptions {
  /** Query tiles to prove of each group; 64 over all groups, and 4 at least, unless stated. */
  readonly proveTiles?: number;
  /** Bytes of one row of K and one of V together. */
  readonly rowBytes: number;
}

/** Stretches of walked query tiles that are kept until they are proved: some tens of megabytes. */
const mostKept = 2 ** 18;

/** Sums up the plans of all units of a launch. */
export const summariseLaunch = (plans: Iterable<UnitPlan>, options: LaunchOptions): LaunchSummary =>
  atOnce(launchTurns(plans, options));

/** The same in turns. */
export function* launchTurns(
  plans: Iterable<UnitPlan>,
  options: LaunchOptions,
): Turns<LaunchSummary> {
  const { rowBytes } = options;
  const groups = new Map<string, { plan: UnitPlan; units: number[] }>();
  const workspace: Record<string, number> = {};
  const counted = new Set<object>();
  const identities = new Map<object, number>();
  const identity = (data: object): number => {
    if (!identities.has(data)) identities.set(data, identities.size);
    return identities.get(data)!;
  };
  for (const plan of plans) {
    const { binding } = plan;
    const { unit, shape } = binding;
    const key = keyOf(plan, identity);
    const group = groups.get(key) ?? { plan, units: [] };
    group.units.push(unit.batch * shape.heads + unit.head);
    groups.set(key, group);
    // Sets of a KV head and captured tensors are shared by units: count each object once.
    const fresh = <T extends object>(all: Readonly<Record<string, T>>): Record<string, T> =>
      Object.fromEntries(Object.entries(all).filter(([, data]) => !counted.has(data)));
    const own = { ...binding, sets: fresh(binding.sets), captured: fresh(binding.captured) };
    for (const [name, bytes] of Object.entries(workspaceOf({ ...plan, binding: own }, rowBytes)))
      workspace[name] = (workspace[name] ?? 0) + bytes;
    for (const data of [...Object.values(own.sets), ...Object.values(own.captured)])
      counted.add(data);
  }
  // Many groups are many walks: they share what one would get.
  const proveTiles = options.proveTiles ?? Math.max(4, Math.ceil(64 / groups.size));
  const mostVisits = options.mostVisits ?? Math.ceil(2 ** 18 / groups.size);
  const summed: UnitGroup[] = [];
  for (const { plan, units } of groups.values()) {
    const tiles = spread(plan.tiles, proveTiles);
    // Of long sequences the same tiles are summed up and proved: walking them takes longest.
    const [proved, walked] = [new Set(tiles), new Map<number, readonly Stretch[]>()];
    let kept = 0;
    const onWalk = (tile: number, stretches: readonly Stretch[]): void => {
      if (!proved.has(tile) || kept > mostKept) return;
      kept += stretches.length;
      walked.set(tile, stretches);
    };
    const sums = summaryTurns(plan, { ...options, mostVisits }, onWalk);
    const summary = yield* partOf(between(sums, 0, 7 / 8), summed.length, groups.size);
    const proving = proofTurns(plan, tiles, walked);
    const proof = yield* partOf(between(proving, 7 / 8, 1), summed.length, groups.size);
    summed.push({ units, summary, proof, provedTiles: tiles.length });
  }
  const over = (of: (summary: UnitSummary) => number): number =>
    summed.reduce((sum, { units, summary }) => sum + units.length * of(summary), 0);
  const all = over(() => 1);
  const dense = over(({ cost }) => cost.dense);
  return {
    groups: summed,
    density: all === 0 ? 0 : over(({ density }) => density) / all,
    costShare: dense === 0 ? 0 : over(({ cost }) => cost.steps) / dense,
    workspace,
  };
}

/** Equal keys, equal plans: the same mask over the same data and lengths, cut the same way. */
function keyOf(plan: UnitPlan, identity: (data: object) => number): string {
  const { binding, passes, qTile, kTile, order } = plan;
  const used = (names: Readonly<Record<string, object>>): string =>
    Object.entries(names)
      .map(([name, data]) => `${name}#${identity(data)}`)
      .join();
  const ways = passes.map((pass) => `${canonical(pass.mask)} ${pass.forms}`);
  return [
    ...ways,
    canonical(plan.mask),
    binding.shape.qLen,
    binding.shape.kLen,
    qTile,
    kTile,
    order,
    used(binding.sets),
    used(binding.captured),
    JSON.stringify(binding.params),
  ].join('\n');
}

/** What a kernel is made for, beside its mask: everything else may change between calls of it. */
export interface ExplainInput {
  readonly pattern: string;
  readonly dtype: string;
  /** Names of the fixed parameters. */
  readonly fixed: readonly string[];
  readonly launch: LaunchSummary;
}

const formCost: Record<Form, string> = {
  ranges: 'loop bounds, computed in the kernel; no memory',
  distances:
    "runs of chosen distances, walked at each query tile's own offset; bytes per head, not per row",
  columns: 'chosen keys, read off a bitmap per head',
  blocks: 'a bitmap of (query block, key block) per head',
  'stand-ins': 'one mean key and value for each pool of dropped keys',
  test: 'each key tile judged by intervals before its K is loaded',
  stated: "the author's own spans, checked against the mask",
};

/** Groups shown in full; with more, the others get one line each, and past `mostLines` none. */
const mostInFull = 2;
const mostLines = 16;

/** The explanation for people, without a trailing newline. */
export function explainText(input: ExplainInput): string {
  const { pattern, launch, dtype, fixed } = input;
  const [first] = launch.groups;
  if (!first) return `${pattern}: nothing to run`;
  const { shape, qTile, kTile, params } = first.summary;
  const heads = `${shape.heads} head${shape.heads === 1 ? '' : 's'}`;
  const shared = shape.kvHeads === shape.heads ? '' : ` over ${shape.kvHeads} of K and V`;
  const dims =
    shape.headDim === shape.valueDim ? `${shape.headDim}` : `${shape.headDim}/${shape.valueDim}`;
  // Packed sequences have lengths of their own.
  const isUneven = launch.groups.some(
    ({ summary: { shape: own } }) => own.qLen !== shape.qLen || own.kLen !== shape.kLen,
  );
  const lengths = isUneven ? 'lengths of their own' : lengthsText(shape);
  const lines: [string, string][] = [
    ['shape', `batch ${shape.batch}, ${heads}${shared}, ${lengths}, dim ${dims}, ${dtype}`],
    ['tile', `${qTile} queries x ${kTile} keys`],
  ];
  const several = launch.groups.length > 1;
  const common = Object.keys(params).filter((name) =>
    launch.groups.every(({ summary }) => summary.params[name] === params[name]),
  );
  const groupName = ({ units, summary }: UnitGroup): string => {
    const own = Object.keys(params).filter((name) => !common.includes(name));
    const values = [
      ...(isUneven ? [lengthsText(summary.shape)] : []),
      ...(own.length > 0 ? [valuesText(summary.params, own)] : []),
    ].join(', ');
    return `${unitNames(units, shape.heads, shape.batch)}${values && ` (${values})`}`;
  };
  const shown = launch.groups.length <= mostInFull ? launch.groups : launch.groups.slice(0, 1);
  for (const group of shown) {
    if (several) lines.push(['', ''], ['for', groupName(group)]);
    lines.push(...groupLines(group));
  }
  const brief = launch.groups.slice(shown.length);
  for (const group of brief.slice(0, mostLines)) {
    const { density, cost } = group.summary;
    lines.push([
      'for',
      `${groupName(group)}: density ${percent(density)}, cost ${percent(cost.share)}`,
    ]);
  }
  if (brief.length > mostLines) lines.push(['', `and ${brief.length - mostLines} more`]);
  if (several) {
    lines.push(
      ['', ''],
      [
        'together',
        `density ${percent(launch.density)}, cost ${percent(launch.costShare)} of dense (predicted)`,
      ],
    );
  }
  lines.push(['workspace', workspaceText(launch.workspace)]);
  const made = [
    'mask',
    `tile ${qTile}x${kTile}`,
    `dim ${dims}`,
    dtype,
    ...fixed.map((name) => `${name} ${printNumber(params[name]!)}`),
  ];
  const free = ['lengths', 'batch', ...Object.keys(params).filter((name) => !fixed.includes(name))];
  lines.push(['kernel', `made for ${made.join(', ')}; serves any ${free.join(', ')}`]);
  const values = valuesText(params, common);
  const width = Math.max(...lines.map(([label]) => label.length)) + 2;
  const body = lines.map(([label, text]) => `  ${label.padEnd(width)}${text}`.trimEnd());
  return [`${pattern}${values && `  (${values})`}`, ...body].join('\n');
}

const lengthsText = ({ qLen, kLen }: LaunchShape): string =>
  `${grouped(qLen)} queries x ${grouped(kLen)} keys`;

const valuesText = (params: Readonly<Record<string, number>>, names: readonly string[]): string =>
  names.map((name) => `${name} ${printNumber(params[name]!)}`).join(', ');

function groupLines({ summary, proof, provedTiles }: UnitGroup): [string, string][] {
  const { tiles, pairs, passes, rows, cost, walked, queryTiles, against } = summary;
  const lines: [string, string][] = [];
  for (const { kind, mask, forms, size } of passes) {
    const what = { tiles: 'visits', columns: 'gathers', rest: 'stands in' }[kind];
    lines.push([what, mask]);
    if (kind === 'columns')
      lines.push(['', `${grouped(size ?? 0)} keys, their K and V rows packed once per head`]);
    else for (const form of forms) lines.push(['', `${form}: ${formCost[form]}`]);
  }
  const base = against === 'causal' ? tiles.causal : tiles.all;
  const sampled = walked < queryTiles;
  const about = sampled ? 'about ' : '';
  const count = (n: number): string => countText(n, sampled);
  const grid =
    against === 'causal'
      ? `${grouped(tiles.causal)} causal (${grouped(tiles.all)} in all)`
      : `${grouped(tiles.all)} in all`;
  lines.push([
    'tiles',
    `${about}${countText(tiles.visited, sampled, base)} of ${grid}, ${percent(base === 0 ? 0 : tiles.visited / base)}: ${count(tiles.full)} full, ${count(tiles.partial)} partial`,
  ]);
  if (summary.columnSteps > 0)
    lines.push(['', `${count(summary.columnSteps)} steps over packed columns`]);
  if (summary.standIns > 0)
    lines.push([
      '',
      `${count(summary.standIns)} stand-ins in ${count(summary.standInSteps)} steps`,
    ]);
  const among = against === 'causal' ? 'causal pairs' : 'all pairs';
  const exact = pairs.allowed === undefined ? '' : `; ${count(pairs.allowed)} are allowed`;
  lines.push(['density', `${percent(summary.density)} of the ${among} visited${exact}`]);
  lines.push(['rows', rowText(rows, summary.shape.qLen)]);
  lines.push(['coverage', proofText(proof, provedTiles, queryTiles)]);
  const dense = against === 'causal' ? 'dense causal attention' : 'dense attention';
  lines.push([
    'cost',
    `${percent(cost.share)} of ${dense} (predicted from ${about}${count(cost.steps)} tile steps)`,
  ]);
  if (sampled)
    lines.push([
      'sample',
      `${grouped(walked)} of ${grouped(queryTiles)} query tiles walked, counts scaled`,
    ]);
  return lines;
}

function rowText({ empty, how }: UnitSummary['rows'], qLen: number): string {
  if (empty === 0) return `every row has a key (${how})`;
  return `${grouped(empty)} of ${grouped(qLen)} rows have no key and give 0 (${how})`;
}

function proofText(proof: Proof, proved: number, tiles: number): string {
  const { counterexample, undecided } = proof;
  if (counterexample) {
    const { fault, q, k } = counterexample;
    const what = {
      missed: 'is allowed and not visited',
      'not-full': 'is not allowed in a full tile',
      twice: 'is visited twice',
    };
    return `WRONG: (q=${q}, k=${k}) ${what[fault]}`;
  }
  const where = proved < tiles ? ` on ${grouped(proved)} of ${grouped(tiles)} query tiles` : '';
  const doubt = undecided > 0 ? `, ${grouped(undecided)} questions left open` : '';
  return `every allowed pair is visited once (proved${where}${doubt})`;
}

/** `head 3`, `heads 0-7, 12`, with `batch 1` where there are several. */
export function unitNames(units: readonly number[], heads: number, batch: number): string {
  const byBatch = new Map<string, number[]>();
  for (let entry = 0; entry < batch; entry += 1) {
    const own = units
      .filter((unit) => Math.floor(unit / heads) === entry)
      .map((unit) => unit % heads);
    if (own.length === 0) continue;
    const names = `head${own.length === 1 ? '' : 's'} ${runsText(own)}`;
    byBatch.set(names, [...(byBatch.get(names) ?? []), entry]);
  }
  const parts = [...byBatch].map(([names, entries]) =>
    entries.length === batch ? names : `batch ${runsText(entries)} ${names}`,
  );
  return parts.join('; ');
}

function runsText(numbers: readonly number[]): string {
  const runs: [number, number][] = [];
  for (const n of numbers) {
    const last = runs.at(-1);
    if (last && n === last[1] + 1) last[1] = n;
    else runs.push([n, n]);
  }
  return runs.map(([a, b]) => (a === b ? `${a}` : `${a}-${b}`)).join(', ');
}

/** 2097152 as '2 097 152'. */
export const grouped = (n: number): string => String(n).replace(/\B(?=(\d{3})+$)/g, ' ');

/** A count, or three figures of one that was scaled up from a sample. */
export const countText = (n: number, sampled: boolean, most = Number.POSITIVE_INFINITY): string =>
  grouped(sampled ? Math.min(most, Number(n.toPrecision(3))) : Math.round(n));

/** A share as a percentage of two or three figures; never 0 % for something, nor 100 % for less than all. */
export function percent(share: number): string {
  const p = share * 100;
  if (p > 0 && p < 0.01) return '< 0.01 %';
  if (share < 1 && p > 99.9) return '> 99.9 %';
  const digits = p === 0 || p >= 99.95 ? 0 : p >= 1 ? 1 : 2;
  return `${p.toFixed(digits)} %`;
}

/** Bytes with a unit: 512 B, 4.0 KB, 1.5 MB (powers of 1024). */
export function bytesText(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  const power = Math.min(3, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(1)} ${['B', 'KB', 'MB', 'GB'][power]}`;
}

function workspaceText(workspace: Readonly<Record<string, number>>): string {
  const parts = Object.entries(workspace).filter(([, bytes]) => bytes > 0);
  if (parts.length === 0) return 'none';
  const total = parts.reduce((sum, [, bytes]) => sum + bytes, 0);
  const list = parts.map(([name, bytes]) => `${name} ${bytesText(bytes)}`).join(', ');
  return parts.length === 1 ? list : `${bytesText(total)}: ${list}`;
}
