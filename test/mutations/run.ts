// Tries every fault of list.ts: copies the project, makes one fault, and runs tests until one fails. The tests that know
// a file best come first, then the laws and their like, then everything. They run on one seed, so a second run finds the
// same.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import type { Command } from 'commander';
import { exit, UsageError } from '../../runtime/commands/failure.ts';
import { countFrom } from '../../runtime/commands/inputs.ts';
import type { Program } from '../programs/program.ts';
import { type Mutation, mutations } from './list.ts';

interface Flags {
  readonly only: string;
  readonly jobs: number;
  readonly steps: number;
}

export const program: Program<Flags> = {
  summary: 'whether some test notices each fault of test/mutations; exit code 1 where none does',
  examples: ['--only runtime/cpu/ --steps 1', "--only 'nothing is fused'"],
  addOptions(command: Command) {
    command
      .option('--only <text>', 'faults alone that have this in their file or name', '')
      .option('--jobs <n>', 'faults that are tried at the same time', countFrom, 1)
      .option('--steps <n>', 'stops after the first so many sets of tests, of 3', countFrom, 3);
  },
  async act(_, flags) {
    return tryAll(flags);
  },
};

const root = resolve(import.meta.dirname, '../..');

/** Not copied: what is built, installed or not read by a test. */
const left = ['node_modules', '.git', 'build', 'dist'];

/** Files of tests to try first, by the start of the path of the fault; the first that fits counts. */
const near: readonly (readonly [start: string, tests: readonly string[]])[] = [
  ['dsl/lift/', ['test/diagnostics/lift', 'test/dsl/lift']],
  ['dsl/given', ['test/runtime/reference-inputs', 'test/runtime/heads', 'test/dsl/analysis']],
  ['dsl/definition', ['test/diagnostics/estimates', 'test/diagnostics/schedules']],
  ['dsl/combine', ['test/diagnostics/schedules']],
  ['dsl/analysis/relevance', ['test/laws/relevance', 'test/patterns/flash-prefill']],
  ['dsl/estimate/needed', ['test/runtime/needed-rows']],
  ['patterns/minference/', ['test/patterns/minference', 'test/diagnostics/files']],
  ['runtime/cuda/calls', ['test/runtime/passed-sets']],
  ['runtime/files/chosen', ['test/runtime/chosen-files', 'test/diagnostics/files']],
  ['dsl/analysis/', ['test/dsl/analysis', 'test/laws/abstraction']],
  ['dsl/chosen', ['test/laws/abstraction']],
  ['dsl/shape', ['test/dsl/analysis', 'test/runtime/estimate-methods']],
  [
    'dsl/plan/',
    ['test/dsl/analysis', 'test/dsl/plan/unit', 'test/diagnostics/schedules', 'test/laws/coverage'],
  ],
  ['dsl/estimate/', ['test/runtime/estimate']],
  ['runtime/cpu/estimate/', ['test/runtime/estimate']],
  ['runtime/cpu/', ['test/runtime/heads', 'test/diagnostics/', 'test/laws/devices']],
  ['runtime/emulator/fma', ['test/runtime/emulator-fma']],
  ['runtime/emulator/', ['test/runtime/emulator-hopper', 'test/runtime/emulator-faults']],
  ['codegen/attention/distance', ['test/codegen/distance']],
  ['codegen/attention/exponent', ['test/runtime/emulator-scores', 'test/codegen/attention']],
  ['codegen/attention/steps', ['test/runtime/emulator-steps', 'test/runtime/emulator-scores']],
  ['codegen/attention/linear', ['test/runtime/emulator-ramp', 'test/laws/hopper']],
  ['codegen/attention/hopper/ramp', ['test/runtime/emulator-ramp', 'test/laws/hopper']],
  ['codegen/attention/tanh', ['test/runtime/emulator-scores', 'test/codegen/tanh']],
  ['codegen/attention/words', ['test/codegen/words', 'test/codegen/analysis']],
  ['codegen/attention/masks/remainders', ['test/codegen/loads', 'test/laws/hopper']],
  ['codegen/attention/masks/loads', ['test/codegen/loads', 'test/laws/hopper']],
  ['codegen/attention/masks/words', ['test/laws/shared-tiles', 'test/runtime/emulator-hopper']],
  ['codegen/attention/hopper/stand-ins', ['test/laws/hopper', 'test/laws/shared-tiles']],
  ['codegen/attention/hopper/scores', ['test/runtime/emulator-scores']],
  ['codegen/attention/hopper/small-scores', ['test/runtime/emulator-scores']],
  ['codegen/attention/hopper/', ['test/runtime/emulator-boxes', 'test/runtime/emulator-hopper']],
  ['codegen/', ['test/codegen/attention', 'test/codegen/analysis']],
];

const stepsOf = (file: string): string[][] => [
  [...(near.find(([start]) => file.startsWith(start))?.[1] ?? [])],
  ['test/laws', 'test/diagnostics', 'test/dsl', 'test/runtime'],
  [],
];

interface Outcome {
  readonly mutation: Mutation;
  /** The test that noticed it, or undefined. */
  readonly killer: string | undefined;
  readonly seconds: number;
}

/** A copy of the project to make faults in; what is installed and built is shared. */
async function copyOfProject(): Promise<string> {
  const outer = await mkdtemp(join(tmpdir(), 'warploom-mutant-'));
  const folder = join(outer, 'project');
  await cp(root, folder, {
    recursive: true,
    filter: (path) => resolve(path, '..') !== root || !left.includes(basename(path)),
  });
  for (const name of ['node_modules', 'build']) {
    await symlink(join(root, name), join(folder, name)).catch(() => undefined);
  }
  // Data of tests that lie beside the project.
  await symlink(resolve(root, '../shared'), join(outer, 'shared')).catch(() => undefined);
  return folder;
}

/** The name of the first test that fails, or undefined when all of them pass. */
function firstFailure(folder: string, tests: readonly string[]): Promise<string | undefined> {
  const vitest = join(root, 'node_modules/vitest/vitest.mjs');
  const options = ['--config', 'test/vitest.config.ts', '--bail', '1', '--maxWorkers', '1'];
  // The list's own test fails for every fault that was made, goldens for every text that changed.
  const excluded = ['test/mutations/**', 'test/codegen/golden-*'].flatMap((one) => [
    '--exclude',
    one,
  ]);
  const args = [vitest, 'run', ...options, ...excluded, ...tests];
  const env = { ...process.env, WARPLOOM_SEED: '1', NO_COLOR: '1', CI: '1' };
  return new Promise((settle, reject) => {
    const child = spawn(process.execPath, args, { cwd: folder, env });
    let text = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (part: string) => {
        text += part;
      });
    }
    child.on('error', reject);
    child.on('close', (code) => {
      const failed = /^ *FAIL +(.*)$/m.exec(text)?.[1];
      settle(code === 0 ? undefined : (failed ?? `exit code ${code}: ${text.slice(-300)}`));
    });
  });
}

/** Without a fault the first tests pass; else every fault would seem to be noticed. */
async function checkSound(folder: string, chosen: readonly Mutation[]): Promise<void> {
  const tests = [...new Set(chosen.flatMap(({ file }) => stepsOf(file)[0]!))];
  const failed = await firstFailure(folder, tests);
  if (failed) throw new Error(`without any fault this fails: ${failed}`);
}

async function tryOne(mutation: Mutation, folder: string, steps: number): Promise<Outcome> {
  const path = join(folder, mutation.file);
  const text = await readFile(path, 'utf8');
  const started = performance.now();
  let killer: string | undefined;
  if (text.split(mutation.find).length === 2) {
    await writeFile(path, text.split(mutation.find).join(mutation.replace));
    for (const tests of stepsOf(mutation.file).slice(0, steps)) {
      killer = await firstFailure(folder, tests);
      if (killer) break;
    }
    await writeFile(path, text);
  }
  return { mutation, killer, seconds: (performance.now() - started) / 1000 };
}

function report({ mutation, killer, seconds }: Outcome): void {
  const word = killer ? 'killed  ' : 'SURVIVED';
  console.log(`${word} ${seconds.toFixed(0).padStart(4)} s  ${mutation.why}`);
  console.log(`               ${killer ?? `${mutation.file}: ${mutation.find}`}`);
}

async function tryAll({ only, jobs, steps }: Flags): Promise<number> {
  if (!existsSync(join(root, 'test/vitest.config.ts')))
    throw new UsageError(
      'no tests lie here',
      'faults are made in a copy of the repository: run it there',
    );
  const chosen = mutations.filter(({ why, file }) => `${file} ${why}`.includes(only));
  if (chosen.length === 0)
    throw new UsageError(`no fault is named like '${only}'`, 'test/mutations/list.ts has them');
  const started = performance.now();
  const outcomes: Outcome[] = [];
  const queue = chosen.values();
  const folders: string[] = [];
  try {
    await Promise.all(
      Array.from({ length: Math.min(jobs, chosen.length) }, async () => {
        const folder = await copyOfProject();
        folders.push(folder);
        if (folders.length === 1) await checkSound(folder, chosen);
        for (const mutation of queue) {
          const outcome = await tryOne(mutation, folder, steps);
          outcomes.push(outcome);
          report(outcome);
        }
      }),
    );
  } finally {
    for (const folder of folders) await rm(dirname(folder), { recursive: true, force: true });
  }
  const survivors = outcomes.filter(({ killer }) => !killer);
  const minutes = (performance.now() - started) / 60_000;
  console.log(
    `\n${outcomes.length - survivors.length} of ${outcomes.length} faults noticed in ${minutes.toFixed(1)} min`,
  );
  for (const { mutation } of survivors) console.log(`survived: ${mutation.why}`);
  return survivors.length > 0 ? exit.wrong : exit.fine;
}
