// `warploom doctor`: what this machine has, what is missing and how to fix it, ending with a small
// attention held against the oracle.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, unlinkSync } from 'node:fs';
import { availableParallelism, cpus, freemem, tmpdir, totalmem } from 'node:os';
import { dirname, join } from 'node:path';
import { lifted } from '../../dsl/definition.ts';
import { loadParser } from '../../dsl/lift/syntax.ts';
import { pattern } from '../../dsl/pattern.ts';
import { bytesText } from '../../dsl/plan/explain.ts';
import { compile } from '../attend.ts';
import { tileProducts } from '../cpu/products.ts';
import { openDevice } from '../device.ts';
import { writeAtomically } from '../files/atomic.ts';
import { addonStatus } from '../native.ts';
import { planCall } from '../plans.ts';
import { tensor } from '../tensor.ts';
import { exit } from './failure.ts';
import type { Finding } from './finding.ts';
import { gpuFindings } from './gpu-findings.ts';
import { checkOutput } from './oracle.ts';
import { definitionsOf, type Target } from './target.ts';
import { duration } from './terminal.ts';
import type { PlainVerb } from './verb.ts';

export const doctor: PlainVerb<{ readonly json?: boolean }> = {
  name: 'doctor',
  summary:
    'tell what was found, what is missing and how to fix it; exit code 1 where something is broken',
  examples: ['', '--json'],
  addOptions(command) {
    command.option('--json', 'print one object for a program');
  },
  async act(_, { json }, { terminal }) {
    const findings = await examine();
    const isBroken = findings.some(({ state }) => state === 'broken');
    if (json) terminal.printJson({ ok: !isBroken, findings });
    else terminal.print(textOf(findings));
    return isBroken ? exit.wrong : exit.fine;
  },
};

/** Everything there is to look at, in the order of the report. */
export async function examine(): Promise<Finding[]> {
  const addon = addonOf();
  return [
    nodeOf(process.versions.node),
    machineOf(),
    addon,
    ...toolsOf(addon.state === 'ok'),
    productsOf(),
    await attempt('parser', 'npm install ts-morph', async () => {
      const start = performance.now();
      loadParser();
      return `ts-morph loads in ${duration(performance.now() - start)}`;
    }),
    await attempt('typescript', 'npm install tsx', async () => {
      await import('tsx/esm/api');
      return 'tsx loads: patterns in .ts files can be used';
    }),
    await attempt('temporary files', 'set TMPDIR to a folder that can be written to', async () => {
      const file = join(tmpdir(), `warploom-doctor-${process.pid}`);
      await writeAtomically(file, 'well');
      unlinkSync(file);
      return `${tmpdir()} can be written to`;
    }),
    await attempt(
      'self-test',
      'npm rebuild warploom, and report it if that does not help',
      selfTest,
    ),
    await attempt('threads', 'run with --threads 0', threadTest),
    ...(await gpuFindings()),
  ];
}

async function attempt(what: string, fix: string, work: () => Promise<string>): Promise<Finding> {
  try {
    return { what, state: 'ok', found: await work() };
  } catch (error) {
    const [found = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
    return { what, state: 'broken', found, fix };
  }
}

/** The engines field of package.json: Node 20.17 and up. */
export function nodeOf(version: string): Finding {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  const isOld = major < 20 || (major === 20 && minor < 17);
  const fix = 'install Node 20.17 or later';
  return { what: 'node', state: isOld ? 'broken' : 'ok', found: version, ...(isOld && { fix }) };
}

function machineOf(): Finding {
  const model = cpus()[0]?.model.trim() ?? 'unknown processor';
  const cores = availableParallelism();
  const memory = `${bytesText(totalmem())} of memory, ${bytesText(freemem())} free`;
  const found = `${process.platform}-${process.arch}, ${cores} cores (${model}), ${memory}`;
  return { what: 'machine', state: 'ok', found };
}

function addonOf(): Finding {
  const { loaded, path, reason = 'unknown' } = addonStatus();
  if (loaded) return { what: 'addon', state: 'ok', found: path ?? 'loaded' };
  const log = path === undefined ? '' : join(dirname(dirname(path)), 'install.log');
  const lines = existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n').slice(-8) : [];
  const found = [reason, ...lines.map((line) => `  | ${line}`)].join('\n');
  const isOff = process.env.WARPLOOM_ADDON === 'off';
  const fix = isOff
    ? 'unset WARPLOOM_ADDON'
    : "install cmake and a C++17 compiler, then run 'npm rebuild warploom' ('npm run install' in the repository)";
  return { what: 'addon', state: 'missing', found, fix };
}

/** What builds the addon; of no interest once it is built. */
function toolsOf(isBuilt: boolean): Finding[] {
  const compilers = [process.env.CXX, 'c++', 'g++', 'clang++'].filter((name) => name !== undefined);
  const tool = (what: string, names: readonly string[], fix: string): Finding => {
    for (const name of names) {
      const { status, stdout } = spawnSync(name, ['--version'], {
        encoding: 'utf8',
        timeout: 5000,
      });
      if (status === 0) return { what, state: 'ok', found: stdout.split('\n')[0] ?? name };
    }
    return {
      what,
      state: isBuilt ? 'ok' : 'missing',
      found: `no ${names.join(' or ')}`,
      ...(!isBuilt && { fix }),
    };
  };
  return [
    tool('cmake', ['cmake'], 'install cmake: apt install cmake'),
    tool('compiler', compilers, 'install a C++17 compiler: apt install g++'),
  ];
}

function productsOf(): Finding {
  const { name } = tileProducts();
  const isSlow = name === 'typescript';
  return {
    what: 'products',
    state: isSlow ? 'missing' : 'ok',
    found: isSlow ? 'plain TypeScript, several times slower than the addon' : name,
    ...(isSlow && { fix: 'see addon' }),
  };
}

const probe = () => pattern('doctor').mask(({ q, k }) => k <= q && q - k < 100);

/** A lift, a plan and a small attention, held against the oracle. */
async function selfTest(): Promise<string> {
  const start = performance.now();
  const own = probe();
  lifted(own.definition);
  const make = (seed: number) => tensor.random([1, 2, 160, 32], { seed });
  const inputs = { q: make(1), k: make(2), v: make(3) };
  const device = await openDevice('cpu', { threads: 0 });
  const attend = await compile(own, { heads: 2, headDim: 32, dtype: 'fp32', device });
  const { out, lse } = await attend(inputs);
  const target: Target = { name: 'doctor', pattern: own, definitions: definitionsOf(own) };
  const planned = await planCall(own, inputs);
  const output = { out: await out.read(), lse: await lse.read() };
  const { error, bound, isWithin } = await checkOutput(output, {
    target,
    inputs,
    params: {},
    planned,
  });
  await device.dispose();
  const off = `off by ${error.out.toExponential(1)}, bound ${bound.out.toExponential(1)}`;
  if (!isWithin) throw new Error(`a small attention is outside the bound of the oracle: ${off}`);
  return `a small attention agrees with the oracle (${off}; ${duration(performance.now() - start)})`;
}

/** A job large enough for a worker, bit for bit what the calling thread computes. */
async function threadTest(): Promise<string> {
  const start = performance.now();
  const own = probe();
  const make = (seed: number) => tensor.random([1, 1, 2112, 32], { seed });
  const inputs = { q: make(1), k: make(2), v: make(3) };
  const results: (Float32Array | Int32Array)[] = [];
  for (const threads of [1, 0]) {
    const device = await openDevice('cpu', { threads });
    try {
      const attend = await compile(own, { heads: 1, headDim: 32, dtype: 'fp32', device });
      results.push(await (await attend(inputs)).out.read());
    } finally {
      await device.dispose();
    }
  }
  const [a, b] = results;
  if (!a?.every((value, i) => value === b?.[i]))
    throw new Error('a worker thread computes otherwise');
  return `a worker thread starts and agrees (${duration(performance.now() - start)})`;
}

function textOf(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ what }) => what.length));
  const indent = ' '.repeat(width + 11);
  const lines = findings.flatMap(({ what, state, found, fix }) => [
    `${state.padEnd(7)}  ${what.padEnd(width)}  ${found.replaceAll('\n', `\n${indent}`)}`,
    ...(fix === undefined ? [] : [`${indent}fix: ${fix}`]),
  ]);
  const broken = findings.filter(({ state }) => state === 'broken').length;
  const missing = findings.filter(({ state }) => state === 'missing').length;
  const verdict =
    broken > 0
      ? `${broken} broken: warploom does not work here yet`
      : missing > 0
        ? `${missing} missing: warploom works, but less well than it could`
        : 'all is well';
  return [...lines, '', verdict].join('\n');
}
