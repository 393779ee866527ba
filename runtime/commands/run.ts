// `warploom run`: one call of a pattern, what it visited and how long it took; checked and kept if asked.

import { type Command, InvalidArgumentError } from 'commander';
import type { ChosenSetsData } from '../../dsl/chosen.ts';
import { isHeadPatterns } from '../../dsl/heads.ts';
import type { Pattern } from '../../dsl/pattern.ts';
import { grouped, percent, unitNames } from '../../dsl/plan/explain.ts';
import { type AttendResult, compile } from '../attend.ts';
import type { GpuDevice } from '../cuda/device.ts';
import { type Device, openDevice } from '../device.ts';
import { type Explanation, explainPlans } from '../explain.ts';
import { saveChosen } from '../files/chosen.ts';
import { writeSafetensors } from '../files/safetensors.ts';
import type { AttentionInputs } from '../inputs.ts';
import type { AnySets } from '../parts.ts';
import { checkCall, type PlannedCall, planCall } from '../plans.ts';
import { deviceData, deviceHelp, timeOn, uploaded } from './devices.ts';
import { exit } from './failure.ts';
import { checkPlace } from './files.ts';
import {
  addInputOptions,
  type InputFlags,
  isQuicklyPlanned,
  loadInputs,
  sizeFrom,
  usualDtype,
} from './inputs.ts';
import { type ChoiceData, choicesOf } from './kernels.ts';
import { type Check, checkOutput } from './oracle.ts';
import type { Values } from './parameters.ts';
import type { Target } from './target.ts';
import { duration, table } from './terminal.ts';
import type { Context, PatternVerb } from './verb.ts';

interface RunFlags extends InputFlags {
  readonly device?: string;
  readonly threads?: number;
  readonly check?: boolean;
  readonly checkRows?: number;
  readonly out?: string;
  readonly chosenOut?: string;
  readonly json?: boolean;
}

export const run: PatternVerb<RunFlags> = {
  name: 'run',
  summary:
    'run a pattern on tensors: what each head visits, how long it takes, whether it is right',
  examples: [
    'a-shape --random 1,8,8,4096,64 --window 1024 --check',
    'mine.ts#mine --input head.safetensors --out result.safetensors',
    'documents --q q.npy --k k.npy --v v.npy --tensor doc=doc.npy --json',
    '--heads Qwen2.5_7B_Instruct_1M.json --layer 12 --random 1,28,4,4096,128 --check',
  ],
  addOptions(command: Command) {
    addInputOptions(command, { length: false, chosen: true });
    command
      .option('--device <name>', deviceHelp)
      .option(
        '--threads <n>',
        'worker threads; 0 works without any (default: one per core)',
        sizeFrom,
      )
      .option('--check', 'compare with the float64 oracle; exit code 1 outside the bound')
      .option('--check-rows <n>', 'check only so many query rows of each head', rowsFrom)
      .option('--out <file>', 'write out and lse to a .safetensors file')
      .option('--chosen-out <file>', 'write the chosen sets to a .safetensors file')
      .option('--json', 'print one object for a program');
  },
  async act(target, params, flags, context) {
    const { terminal } = context;
    for (const file of [flags.out, flags.chosenOut]) if (file !== undefined) checkPlace(file);
    const { threads } = flags;
    const device = await openDevice(flags.device, threads === undefined ? {} : { threads });
    try {
      const inputs = await loadInputs(flags, target.definitions, usualDtype(device));
      const request = { target, inputs, params, device, context };
      const made = await (device.kind === 'cpu' ? attendTo(request) : attendOn(request, device));
      const { result } = made;
      const isChecked = flags.check === true || flags.checkRows !== undefined;
      const check = isChecked
        ? await checkOf({ target, inputs, params }, made, flags, context)
        : undefined;
      if (flags.out !== undefined) {
        await writeSafetensors(
          flags.out,
          { out: result.out, lse: result.lse },
          { pattern: target.name },
        );
      }
      if (flags.chosenOut !== undefined) await saveChosen(flags.chosenOut, made.planned.chosen);
      const report: Report = {
        target,
        params,
        inputs,
        device,
        ...made,
        check,
        file: flags.out,
        chosenFile: flags.chosenOut,
      };
      if (flags.json) terminal.printJson(dataOf(report));
      else terminal.print(textOf(report));
      return check && !check.isWithin ? exit.wrong : exit.fine;
    } finally {
      await device.dispose();
    }
  },
};

function rowsFrom(text: string): number {
  const rows = sizeFrom(text);
  if (rows === 0) throw new InvalidArgumentError('Give a whole number from 1.');
  return rows;
}

interface Made {
  readonly planned: Pick<PlannedCall, 'shape' | 'dtype' | 'chosen'>;
  /** Undefined where planning on the host would take longer than anybody waits. */
  readonly plans: Explanation | undefined;
  /** How the attention kernels are made, one for each distinct pattern; on a GPU. */
  readonly kernels?: readonly ChoiceData[];
  readonly result: AttendResult<AnySets>;
  /** The estimate, on the CPU with the plans, and attention. */
  readonly ms: { readonly estimate: number; readonly attention: number; readonly device?: number };
}

interface Request {
  readonly target: Target;
  readonly inputs: AttentionInputs;
  readonly params: Values;
  readonly device: Device;
  readonly context: Context;
}

/** The sets first, then attention on them, so that each has its own time and the plans are those that ran. */
async function attendTo({ target, inputs, params, device, context }: Request): Promise<Made> {
  const { terminal, signal } = context;
  const start = performance.now();
  const estimating = terminal.progress('estimating');
  const options = { onProgress: estimating.update, signal };
  const planned = await planCall(target.pattern, inputs, params, options);
  estimating.done();
  const { heads, kvHeads, headDim, valueDim } = planned.shape;
  const { dtype } = planned;
  const attend = await compile(target.pattern as Pattern, {
    heads,
    kvHeads,
    headDim,
    valueDim,
    dtype,
    device,
  });
  const middle = performance.now();
  const attending = terminal.progress('attending');
  const call = { onProgress: attending.update, signal };
  const result = await attend(
    { ...inputs, chosen: planned.chosen as ChosenSetsData },
    params,
    call,
  );
  attending.done();
  const ms = { estimate: middle - start, attention: performance.now() - middle };
  return { planned, plans: explainPlans(planned, { proveTiles: 0 }), result, ms };
}

/** Everything on a device that is not the CPU: tensors brought over once, sets chosen there, times there. */
async function attendOn(request: Request, device: GpuDevice): Promise<Made> {
  const { target, inputs, params, context } = request;
  const { pattern } = target;
  const { shape, dtype } = checkCall(pattern, inputs, params);
  const attend = await compile(pattern as Pattern, { ...shape, dtype, device });
  const there = await uploaded(inputs, device);
  const call = { signal: context.signal };
  // Of a pattern without an estimate too: they are none.
  let chosen: AnySets = isHeadPatterns(pattern) ? target.definitions.map(() => ({})) : {};
  let estimate = 0;
  if (inputs.chosen) {
    chosen = inputs.chosen;
  } else if (target.definitions.some(({ estimates }) => estimates.length > 0)) {
    // Once to compile: what a call costs is what the next one takes.
    if (device.kind === 'cuda') await attend.estimate(there, params, call);
    const timed = await timeOn(device, () => attend.estimate(there, params, call));
    chosen = timed.value as AnySets;
    estimate = timed.hostMs;
  }
  const given = { ...there, chosen: chosen as ChosenSetsData };
  if (device.kind === 'cuda') {
    const { out, lse } = await attend(given, params, call);
    for (const tensor of [out, lse]) tensor.dispose();
  }
  const { value, hostMs, deviceMs } = await timeOn(device, () => attend(given, params, call));
  const planned = { shape, dtype, chosen };
  const plans = isQuicklyPlanned(target.definitions, shape)
    ? explainPlans(await planCall(pattern, { ...inputs, chosen }, params), { proveTiles: 0 })
    : undefined;
  const ms = { estimate, attention: hostMs, ...(deviceMs !== undefined && { device: deviceMs }) };
  const kernels =
    device.kind === 'cuda'
      ? await choicesOf(checkCall(pattern, inputs, params), device.machine)
      : undefined;
  return { planned, plans, ...(kernels && { kernels }), result: value, ms };
}

async function checkOf(
  call: Pick<Request, 'target' | 'inputs' | 'params'>,
  { planned, result }: Made,
  { checkRows: rows }: RunFlags,
  { terminal }: Context,
): Promise<Check> {
  const checking = terminal.progress('checking');
  const output = { out: await result.out.read(), lse: await result.lse.read() };
  const check = await checkOutput(
    output,
    { ...call, planned },
    { ...(rows !== undefined && { rows }), onProgress: checking.update },
  );
  checking.done();
  return check;
}

interface Report extends Made {
  readonly target: Target;
  readonly inputs: AttentionInputs;
  readonly params: Values;
  readonly device: Device;
  readonly check: Check | undefined;
  readonly file: string | undefined;
  readonly chosenFile: string | undefined;
}

function textOf({ target, device, planned, plans, ms, check, file, chosenFile }: Report): string {
  const { batch, heads, kvHeads, qLen, kLen, headDim, valueDim } = planned.shape;
  const lines = plans ? plans.parts.map(titleOf) : [target.name];
  const dims = headDim === valueDim ? `${headDim}` : `${headDim}/${valueDim}`;
  const sizes = `batch ${batch}, heads ${heads}/${kvHeads}, ${grouped(qLen)} queries x ${grouped(kLen)} keys, dim ${dims}`;
  lines.push(
    `${sizes}, ${planned.dtype}; ${device.description}`,
    '',
    plans
      ? tableOf(plans, batch, heads)
      : "so many rows are not planned for a report: 'warploom explain' tells what they visit",
    '',
  );
  const isDynamic = target.definitions.some(({ estimates }) => estimates.length > 0);
  lines.push(timesText(device, ms, isDynamic, batch * heads));
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

function tableOf({ parts }: Explanation, batch: number, heads: number): string {
  const several = parts.length > 1;
  const all = parts.flatMap(({ launch }) => launch.groups.map(({ summary }) => summary));
  const hasColumns = all.some(({ columnSteps }) => columnSteps > 0);
  const hasStandIns = all.some(({ standIns }) => standIns > 0);
  const title = [
    'heads',
    ...(several ? ['pattern'] : []),
    'density',
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
      grouped(summary.tiles.visited),
      grouped(summary.tiles.full),
      grouped(summary.tiles.partial),
      ...(hasColumns ? [grouped(summary.columnSteps)] : []),
      ...(hasStandIns ? [grouped(summary.standIns)] : []),
    ]),
  );
  return table([title, ...rows]);
}

function checkText({ rows, error, bound, isWithin }: Check, qLen: number): string {
  const part = (name: 'out' | 'lse') =>
    `${name} off by ${error[name].toExponential(1)} (bound ${bound[name].toExponential(1)})`;
  const which = rows < qLen ? `${grouped(rows)} of ${grouped(qLen)} rows` : 'all rows';
  return `oracle, ${which}: ${part('out')}, ${part('lse')}: ${isWithin ? 'within' : 'OUTSIDE'} the bound`;
}

/** What a program reads: one entry per batch entry and head. */
function dataOf({
  target,
  params,
  inputs,
  device,
  planned,
  plans,
  kernels,
  result,
  ms,
  check,
  file,
  chosenFile,
}: Report) {
  const { batch, heads } = planned.shape;
  const units = (plans?.parts ?? []).flatMap(({ pattern, launch }) =>
    launch.groups.flatMap(({ units: members, summary }) =>
      members.map((unit) => ({
        batch: Math.floor(unit / heads),
        head: unit % heads,
        pattern,
        params: summary.params,
        density: summary.density,
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
    ms: { ...ms, perHead: (ms.device ?? ms.attention) / Math.max(1, batch * heads) },
    ...(check && { check }),
    ...(chosenFile !== undefined && { chosenFile }),
    ...(file !== undefined && { file, tensors: { out: result.out.shape, lse: result.lse.shape } }),
  };
}
