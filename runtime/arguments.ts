// What `compile` and a call are given, where no compiler of TypeScript has looked: options and numbers out of a file, or a
// program in JavaScript. Tensors, parameters and sets are inputs.ts's.

import {
  type Code,
  DeviceError,
  type Diagnostic,
  diagnostic,
  ShapeError,
  throwIfAny,
} from '../dsl/diagnostic.ts';
import { isHeadPatterns } from '../dsl/heads.ts';
import { isPattern } from '../dsl/pattern.ts';
import { isObject, shown } from '../dsl/shown.ts';
import { type FloatType, floatTypes } from './dtype.ts';
import { unevenHeads } from './inputs.ts';

/** No model has as many heads, and no head as many dimensions. */
const most = 2 ** 16;

function refuse(what: string, help: string): never {
  throw new DeviceError([diagnostic('R005', what, { help })]);
}

/** throws: DeviceError R005 for options that are no object, and for those that are neither known nor our own. */
export function checkOptions(
  of: string,
  options: unknown,
  known: readonly string[],
  own: readonly string[] = [],
): void {
  const help = `it takes ${known.join(', ')}`;
  if (!isObject(options)) refuse(`the options of ${of} are ${shown(options)}`, help);
  const other = Object.keys(options).find((name) => !known.includes(name) && !own.includes(name));
  if (other !== undefined) refuse(`${of} has no option '${other}'`, help);
}

/** throws: DeviceError R005 for what is no pattern, nor a list of patterns by head. */
export function checkPattern(pattern: unknown): void {
  const help = "a pattern ends with its mask: pattern('name').mask(({ q, k }) => k <= q)";
  if (!isHeadPatterns(pattern)) {
    if (!isPattern(pattern)) refuse(`${shown(pattern)} is no pattern`, help);
    return;
  }
  const { byHead }: { readonly byHead: unknown } = pattern;
  if (!Array.isArray(byHead)) refuse(`byHead lists ${shown(byHead)}`, 'give it a list of patterns');
  const wrong = (byHead as unknown[]).findIndex((one) => !isPattern(one));
  if (wrong >= 0) refuse(`entry ${wrong} of byHead is no pattern`, help);
}

/** What else a shape says may stand beside it: { ...shape, dtype }. */
const optionsOfCompile = [
  ...['heads', 'kvHeads', 'headDim', 'valueDim', 'dtype'],
  ...['fallback', 'device'],
];

/**
 * throws: ShapeError T007, T002 and T003 for heads, dimensions and a dtype that no call could have, DeviceError R005 for
 * other options that are not understood.
 */
export function checkCompileOptions(options: unknown): void {
  if (!isObject(options))
    refuse(
      `the options of compile are ${shown(options)}`,
      "give { heads: 8, headDim: 64, dtype: 'bf16' }",
    );
  checkOptions('compile', options, optionsOfCompile, ['choice', 'batch', 'qLen', 'kLen']);
  const findings: Diagnostic[] = [];
  const count = (name: string, code: Code, value: unknown): void => {
    if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= most) return;
    const help = `give a whole number from 1 to ${most}`;
    findings.push(diagnostic(code, `${name} is ${shown(value)}`, { help }));
  };
  const { heads, kvHeads = heads, headDim, valueDim = headDim, dtype } = options;
  count('heads', 'T007', heads);
  if (kvHeads !== heads) count('kvHeads', 'T007', kvHeads);
  count('headDim', 'T002', headDim);
  if (valueDim !== headDim) count('valueDim', 'T002', valueDim);
  if (findings.length === 0 && (heads as number) % (kvHeads as number) !== 0) {
    const { what, help } = unevenHeads(heads as number, kvHeads as number);
    findings.push(diagnostic('T007', what, { help }));
  }
  if (!floatTypes.includes(dtype as FloatType))
    findings.push(
      diagnostic('T003', `dtype is ${shown(dtype)}`, {
        help: 'attention takes fp32, fp16 or bf16',
      }),
    );
  throwIfAny(findings, ShapeError);
  const { fallback = 'none', device } = options;
  if (fallback !== 'none' && fallback !== 'dense')
    refuse(`fallback is ${shown(fallback)}`, "it is 'none' or 'dense'");
  if (device !== undefined && !(isObject(device) && isObject(device.backend)))
    refuse(`device is ${shown(device)}`, "open it: device: await openDevice('cpu')");
}

/** throws: DeviceError R005 for arguments of a call that are no objects, and options that cannot be what they are for. */
export function checkCallArguments(
  inputs: unknown,
  params: unknown,
  options: unknown,
  known: readonly string[] = ['signal', 'onProgress', 'onTime'],
): void {
  if (!isObject(inputs)) refuse(`the tensors of a call are ${shown(inputs)}`, 'give { q, k, v }');
  if (!isObject(params))
    refuse(`the parameters of a call are ${shown(params)}`, 'give { window: 512 }, or {}');
  if (!isObject(options))
    refuse(`the options of a call are ${shown(options)}`, 'give { signal, onProgress }, or {}');
  checkOptions('a call', options, known);
  const { signal, onProgress, onTime, rows } = options;
  if (signal !== undefined && !(signal instanceof AbortSignal))
    refuse(`signal is ${shown(signal)}`, 'it is that of an AbortController');
  for (const [name, told] of Object.entries({ onProgress, onTime }))
    if (told !== undefined && typeof told !== 'function')
      refuse(`${name} is ${shown(told)}`, 'it is a function');
  if (rows !== undefined && !Array.isArray(rows))
    refuse(`rows are ${shown(rows)}`, 'give a list of query rows: [0, 17]');
}

const sizes = ['batch', 'heads', 'kvHeads', 'qLen', 'kLen', 'headDim', 'valueDim'] as const;

/** throws: DeviceError R005 where there are neither tensors nor a shape, ShapeError T002 for sizes that are no counts. */
export function checkTensorsOrSizes(inputs: unknown): void {
  const help = `give { q, k, v }, or sizes alone: { shape: { ${sizes.join(', ')} } }`;
  if (!isObject(inputs)) refuse(`the tensors of a call are ${shown(inputs)}`, help);
  if ('q' in inputs) return;
  const { shape } = inputs;
  if (!isObject(shape)) refuse(`the shape of a call is ${shown(shape)}`, help);
  const isCount = (value: unknown): boolean =>
    Number.isSafeInteger(value) && (value as number) >= 0;
  const findings = sizes
    .filter((name) => !isCount(shape[name]))
    .map((name) => diagnostic('T002', `${name} of the shape is ${shown(shape[name])}`, { help }));
  throwIfAny(findings, ShapeError);
}

/** throws: DeviceError R005 for what are no tensors, ShapeError T002 where their shapes differ. */
export function checkAlike(what: string, ...tensors: readonly unknown[]): void {
  const shapes = tensors.map((one) => {
    if (!isObject(one) || !Array.isArray(one.shape))
      refuse(`one of two ${what} is ${shown(one)}`, 'give tensors, as calls make them');
    return (one.shape as readonly unknown[]).join();
  });
  const [first, other] = shapes;
  if (first === other) return;
  const help = 'give those of two calls with the same tensors';
  throw new ShapeError([diagnostic('T002', `two ${what} are [${first}] and [${other}]`, { help })]);
}
