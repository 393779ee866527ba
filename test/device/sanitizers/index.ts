// NVIDIA's compute-sanitizer over the kernels of all built-in patterns, once per tool. The process that it watches is
// this program again (calls.ts); here is what is asked for, and the table of what was found.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, Option } from 'commander';
import { patterns } from '../../../patterns/index.ts';
import { exit, UsageError } from '../../../runtime/commands/failure.ts';
import { checkPlace } from '../../../runtime/commands/files.ts';
import { countFrom } from '../../../runtime/commands/inputs.ts';
import { duration, table } from '../../../runtime/commands/terminal.ts';
import { GpuDevice } from '../../../runtime/cuda/device.ts';
import { openDevice } from '../../../runtime/device.ts';
import { deviceOption, type Program, positiveFrom } from '../../programs/program.ts';
import { callEach } from './calls.ts';
import { type Findings, type Tool, tools } from './findings.ts';
import { findSanitizer, runTool } from './tool.ts';

interface Flags {
  readonly device: string;
  readonly tools: readonly Tool[];
  readonly only: readonly string[];
  readonly keys: number;
  readonly minutes: number;
  readonly sanitizer?: string;
  readonly out?: string;
  readonly child?: boolean;
}

const all = [...patterns.keys()];

export const program: Program<Flags> = {
  summary: 'compute-sanitizer over the kernels of all built-in patterns, on a GPU',
  examples: ['', '--tools memcheck --only causal vertical-slash --keys 20000', '--out findings'],
  addOptions(command: Command) {
    command
      .addOption(deviceOption())
      .addOption(
        new Option('--tools <names...>', 'of compute-sanitizer').choices(tools).default(tools),
      )
      .addOption(
        new Option('--only <patterns...>', 'not all of them').choices(all).default(all, 'all'),
      )
      .option('--keys <n>', 'and queries of each call', countFrom, 300)
      .option('--minutes <n>', 'after which a tool has failed', positiveFrom, 30)
      .option('--sanitizer <file>', 'compute-sanitizer, where it is not in PATH or a CUDA toolkit')
      .option('--out <folder>', 'where all that each tool says is written, to TOOL.txt')
      // What the watched process does.
      .addOption(new Option('--child').hideHelp());
  },
  async act(_, flags) {
    const only = [...new Set(flags.only)];
    if (!flags.child) return lead({ ...flags, only, tools: [...new Set(flags.tools)] });
    await callEach(only, flags.device, flags.keys);
    return exit.fine;
  },
};

/** This program again, with the same words. */
function watched(): [string, ...string[]] {
  const { execPath, execArgv, argv } = process;
  return [execPath, ...execArgv, ...argv.slice(1), '--child'];
}

/** Runs the tools one after the other; the exit code says whether all of them are content. */
async function lead(flags: Flags): Promise<number> {
  const device = await describe(flags.device);
  const sanitizer = await findSanitizer(flags.sanitizer);
  const fileOf = placeOf(flags.out, flags.tools);
  const runs: Findings[] = [];
  let failures = 0;
  for (const tool of flags.tools) {
    const begun = performance.now();
    const file = fileOf(tool);
    const { minutes } = flags;
    const { findings, ended } = await runTool(sanitizer, tool, {
      command: watched(),
      minutes,
      file,
    });
    runs.push(findings);
    const troubles = findings.troubles(ended);
    failures += troubles.length;
    const took = duration(performance.now() - begun);
    console.log(`${tool}: ${countText(findings.total, 'finding')} in ${took}`);
    for (const trouble of troubles) console.log(`${tool} has not checked everything: ${trouble}`);
    if (troubles.length > 0 && findings.said.length > 0) console.log(findings.said.join('\n'));
    if (findings.total > 0) console.log(findings.excerpt);
    if (file !== undefined && findings.total + troubles.length > 0)
      console.log(`all of it: ${file}`);
  }
  const total = runs.reduce((sum, one) => sum + one.total, 0);
  const day = new Date().toISOString().slice(0, 10);
  const incomplete = failures > 0 ? ', and not everything was checked' : '';
  console.log(`\n${tableOf(flags.only, runs)}\n
${countText(flags.only.length, 'pattern')} with ${flags.keys} keys: ${countText(total, 'finding')}${incomplete}; \
${device}, compute-sanitizer ${sanitizer.version}, ${day}`);
  return total + failures > 0 ? exit.wrong : exit.fine;
}

const countText = (count: number, what: string): string =>
  `${count} ${what}${count === 1 ? '' : 's'}`;

/** What the device is; throws before a tool starts where there is none, or one that has no kernels. */
async function describe(name: string): Promise<string> {
  const device = await openDevice(name);
  try {
    if (device instanceof GpuDevice) return device.description;
    throw new UsageError(`'${name}' launches no kernels`, '--device cuda');
  } finally {
    await device.dispose();
  }
}

/** The file of each tool, where a folder is given. Throws FileError F005 for one that cannot be written. */
function placeOf(folder: string | undefined, tools: readonly Tool[]) {
  if (folder === undefined) return () => undefined;
  const fileOf = (tool: Tool): string => join(folder, `${tool}.txt`);
  try {
    mkdirSync(folder, { recursive: true });
  } catch {
    // The check says why.
  }
  for (const tool of tools) checkPlace(fileOf(tool));
  return fileOf;
}

/** Patterns by tools. Host reads stand apart; a pattern that was not reached has no number. */
function tableOf(names: readonly string[], runs: readonly Findings[]): string {
  const columns = runs.flatMap(({ tool, counts }) => {
    const column = (heading: string, key: 'findings' | 'hostReads') => ({
      heading,
      cell: (name: string) => String(counts.get(name)?.[key] ?? '-'),
    });
    const own = column(tool, 'findings');
    return tool === 'initcheck' ? [own, column('read by the host', 'hostReads')] : [own];
  });
  const isStray = runs.some(({ counts }) => counts.has(''));
  const rows = [...names, ...(isStray ? [''] : [])].map((name) => [
    name === '' ? 'in no call' : name,
    ...columns.map(({ cell }) => cell(name)),
  ]);
  return table([['', ...columns.map(({ heading }) => heading)], ...rows]);
}
