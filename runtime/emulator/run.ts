// Running launch lists on the CPU: the same kernels, compiled for the host, in a process of their own.

import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import type { Kernel, LaunchList } from '../../codegen/kernel.ts';
import { invariant } from '../../dsl/diagnostic.ts';
import { switchOf } from '../switches.ts';
import { compileEngine, compileKernel } from './compile.ts';
import { debugged } from './debug.ts';
import { readFault } from './fault.ts';
import { type Contents, requestOf } from './request.ts';

export type { Contents } from './request.ts';

export interface EmulatorOptions {
  /** 0 runs the threads of a block in order; others pick any legal order. */
  readonly seed?: number;
  /** Blocks that run at the same time; the number of cores by default. */
  readonly processes?: number;
  /** Are products of kernels fused with sums, as GPUs' compilers do? By default if WARPLOOM_EMULATOR_FMA is 'on'. */
  readonly fma?: boolean | undefined;
  /** A launch that takes longer is a fault (60 by default). */
  readonly seconds?: number;
  /**
   * A folder for the text of kernels: what lies there already is run instead, compiled for a debugger, by one
   * process that may take its time. WARPLOOM_DEBUG by default.
   */
  readonly debug?: string | undefined;
  /** Takes what kernels print; standard error by default. */
  readonly onPrint?: (text: string) => void;
}

/** Of a run that a person looks at: a day for each launch. */
const forDebugger = { processes: 1, seconds: 86_400 };

/**
 * Runs a launch list over named buffers and returns what is in each of them afterwards, as new arrays.
 * A buffer given as a size has undefined contents: 0xff, which no kernel may read before it has written.
 *
 * Throws KernelFault when a kernel breaks a rule of the device (fault.ts lists them), and DeviceError R002
 * without a C++ compiler, or without an FMA to fuse products by.
 */
export async function runEmulated<Name extends string>(
  list: LaunchList,
  buffers: Readonly<Record<Name, Contents>>,
  options: EmulatorOptions = {},
): Promise<Record<Name, Uint8Array>> {
  const { debug = process.env.WARPLOOM_DEBUG, seed = 0 } = options;
  const { fma = switchOf('WARPLOOM_EMULATOR_FMA') === 'on' } = options;
  const { processes = availableParallelism(), seconds = 60 } = debug ? forDebugger : options;
  const launches: (Kernel | undefined)[] = [];
  const paths: (string | undefined)[] = [];
  for (const step of list.steps) {
    const kernel = step.op === 'launch' ? step.kernel : undefined;
    const text = kernel && debug ? await debugged(kernel, debug) : undefined;
    launches.push(text?.kernel ?? kernel);
    paths.push(text?.path);
  }
  const compiled = await Promise.all([
    compileEngine(),
    ...launches.map((kernel, i) =>
      kernel ? compileKernel(kernel, { textPath: paths[i], fma }) : '',
    ),
  ]);
  const [runner, ...modules] = compiled;
  const used = modules.filter((_, i) => launches[i]);
  const request = requestOf(list, buffers, used, { seed, processes, seconds });
  const done = await runProcess(runner, request, options.onPrint);
  if (done.report !== '') {
    throw await readFault(done.report, (step) => {
      const kernel = launches[step];
      return kernel && { kernel, module: modules[step]! };
    });
  }
  invariant(done.status === 0, `the emulator ended with ${done.status}: ${done.printed}`);
  return splitReply(done.reply, buffers);
}

interface Done {
  readonly status: number | string;
  readonly reply: Buffer;
  readonly report: string;
  readonly printed: string;
}

function runProcess(
  runner: string,
  request: readonly Uint8Array[],
  onPrint: ((text: string) => void) | undefined,
): Promise<Done> {
  return new Promise((resolve, reject) => {
    const child = spawn(runner, [], { stdio: ['pipe', 'pipe', 'pipe', 'pipe'] });
    const reply: Buffer[] = [];
    let report = '';
    let printed = '';
    child.stdout.on('data', (data: Buffer) => reply.push(data));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
      if (onPrint) onPrint(text);
      else process.stderr.write(text);
    });
    child.stdio[3]!.on('data', (data: Buffer) => {
      report += data.toString('utf8');
    });
    child.on('error', reject);
    child.on('close', (code, signal) =>
      resolve({
        status: code ?? signal ?? 'no status',
        reply: Buffer.concat(reply),
        report,
        printed,
      }),
    );
    // A runner that ends early has said why; the broken pipe says nothing more.
    child.stdin.on('error', () => {});
    for (const part of request) child.stdin.write(part);
    child.stdin.end();
  });
}

function splitReply<Name extends string>(
  reply: Buffer,
  buffers: Readonly<Record<Name, Contents>>,
): Record<Name, Uint8Array> {
  const result: Partial<Record<Name, Uint8Array>> = {};
  let at = 0;
  for (const [name, contents] of Object.entries<Contents>(buffers)) {
    const bytes = contents instanceof Uint8Array ? contents.length : contents.bytes;
    result[name as Name] = new Uint8Array(reply.subarray(at, at + bytes));
    at += bytes;
  }
  invariant(
    at === reply.length,
    `the emulator replied with ${reply.length} bytes instead of ${at}`,
  );
  return result as Record<Name, Uint8Array>;
}
