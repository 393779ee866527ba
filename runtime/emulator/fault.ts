// What the emulator finds wrong with a kernel, as an error: the rule that was broken, and by whom, where.

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Kernel } from '../../codegen/kernel.ts';

const run = promisify(execFile);

/** The rules of the device, by what breaks them. */
export const faultKinds = {
  launch: 'a grid, a block or shared memory of a size that no device has',
  'out-of-bounds': 'memory outside of every buffer, or outside of shared memory',
  misaligned: 'an address that is not a multiple of the size of the access',
  uninitialised: 'memory that nothing has written',
  'pending-copy': 'shared memory that an asynchronous copy has yet to write',
  'pending-read': 'shared memory that an asynchronous copy or product may still read',
  'pending-product': 'registers that an asynchronous product has yet to write, or may still read',
  fence: 'a fence that is missing between ordinary code and asynchronous copies or products',
  barrier: 'a barrier that nobody initialised, or with another count or phase than others expect',
  registers: 'a share of registers that cannot be',
  box: 'a box that is stored from before its tensor on',
  descriptor: 'a description of a tensor or matrix that the hardware refuses',
  race: 'two accesses by different threads, one of them a write, that nothing orders',
  deadlock: 'threads that wait for others which never come',
  divergence: 'lanes of a warp that disagree about an instruction they execute together',
  undefined:
    'C++ without a meaning: an index outside of its array, an overflow of a signed integer',
  assert: 'an assertion that does not hold',
  timeout: 'a launch that does not end',
  crash: 'a process that died',
} as const;
export type FaultKind = keyof typeof faultKinds;

/** A kernel that breaks a rule of the device. A mistake of the generator, not of the pattern's author. */
export class KernelFault extends Error {
  readonly kind: FaultKind;
  readonly kernel: string;
  readonly block: readonly [number, number, number];
  /** In its block; -1 where no thread ran. */
  readonly thread: number;
  /** Of the kernel's text, from 1; undefined where it is not known. */
  readonly line: number | undefined;
  readonly what: string;

  constructor(fault: {
    kind: FaultKind;
    kernel: string;
    block: readonly [number, number, number];
    thread: number;
    line: number | undefined;
    what: string;
    text: string | undefined;
  }) {
    const { kind, kernel, block, thread, line, what, text } = fault;
    const who =
      thread < 0
        ? ''
        : `, block (${block.join(', ')}), warp ${Math.floor(thread / 32)}, lane ${thread % 32}`;
    const where = line === undefined ? '' : `, line ${line}`;
    const code = text === undefined ? '' : `\n${line} | ${text}`;
    super(`${kind}: ${kernel}${who}${where}: ${what}${code}`);
    this.name = 'KernelFault';
    this.kind = kind;
    this.kernel = kernel;
    this.block = block;
    this.thread = thread;
    this.line = line;
    this.what = what;
  }
}

/** Reads a report of the runner; `stepOf` finds the launch that it speaks of. */
export async function readFault(
  report: string,
  stepOf: (step: number) => { kernel: Kernel; module: string } | undefined,
): Promise<KernelFault> {
  const field = (name: string): string => new RegExp(`^${name} (.*)$`, 'm').exec(report)?.[1] ?? '';
  const step = stepOf(Number(field('step')));
  const lineOf = async (site: number): Promise<number | undefined> => {
    if (site >= 0x80000000) return site - 0x80000000 || undefined;
    return site > 0 && step ? lineOfCode(step.module, site) : undefined;
  };
  let what = report.slice(report.indexOf('\nwhat ') + 6);
  for (const [mark, site] of what.matchAll(/\{([0-9a-f]+)\}/g)) {
    const line = await lineOf(Number.parseInt(site!, 16));
    what = what.replace(mark, line === undefined ? 'an unknown line' : `line ${line}`);
  }
  const line = await lineOf(Number.parseInt(field('site'), 16));
  const [x = 0, y = 0, z = 0] = field('block').split(' ').map(Number);
  return new KernelFault({
    kind: field('kind') as FaultKind,
    kernel: step?.kernel.name ?? 'a fill',
    block: [x, y, z],
    thread: Number(field('thread')),
    line,
    what,
    text: line === undefined ? undefined : step?.kernel.source.split('\n')[line - 1]?.trim(),
  });
}

/** The innermost line of the kernel's own text at an offset in its module, by binutils' addr2line. */
async function lineOfCode(module: string, offset: number): Promise<number | undefined> {
  const tool = ['-e', module, '-i', `0x${offset.toString(16)}`];
  const found = await run('addr2line', tool).catch(() => undefined);
  for (const row of found?.stdout.split('\n') ?? []) {
    const [, path, line] = /^(.*):(\d+)/.exec(row) ?? [];
    if (path?.endsWith('.cu')) return Number(line);
  }
  return undefined;
}
