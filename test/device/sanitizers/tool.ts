// compute-sanitizer as a process: where it is, and one run of one of its tools over a program. What it says is counted
// by findings.ts.

import { execFile, spawn } from 'node:child_process';
import { accessSync, closeSync, constants, openSync, statSync, writeSync } from 'node:fs';
import { constants as system } from 'node:os';
import { delimiter, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { diagnostic, FileError, type Note } from '../../../dsl/diagnostic.ts';
import { exit } from '../../../runtime/commands/failure.ts';
import { type Environment, toolkits } from '../../../runtime/cuda/search.ts';
import { cannotWrite } from '../../../runtime/files/atomic.ts';
import { type Ended, Findings, type Tool } from './findings.ts';

const fileName = 'compute-sanitizer';
const help =
  'it comes with the CUDA toolkit, and with pip install nvidia-cuda-sanitizer-api; name it by --sanitizer FILE';

export interface Sanitizer {
  readonly path: string;
  /** `2025.4.0.0` */
  readonly version: string;
}

/** The one that is named, or the first of PATH and the toolkits. Throws FileError F001 where none is, or it does not run. */
export async function findSanitizer(
  named: string | undefined,
  environment: Environment = process.env,
): Promise<Sanitizer> {
  const path = named === undefined ? search(environment) : resolve(named);
  try {
    const { stdout } = await promisify(execFile)(path, ['--version'], { timeout: 60_000 });
    const [, version] = /Compute Sanitizer[\s\S]*Version (\d+[.\d]*)/.exec(stdout) ?? [];
    if (version === undefined) throw new Error('--version says another name');
    return { path, version };
  } catch (cause) {
    const why = cause instanceof Error ? cause.message.split('\n')[0]! : String(cause);
    throw new FileError([diagnostic('F001', `'${path}' is no ${fileName}: ${why}`, { help })], {
      cause,
    });
  }
}

function search({ PATH = '', ...environment }: Environment): string {
  const places = [
    { place: 'PATH', folders: PATH.split(delimiter).filter((folder) => folder !== '') },
    ...toolkits(environment).map(({ place, homes }) => {
      return { place, folders: homes?.map((home) => join(home, 'bin')) };
    }),
  ];
  const notes: Note[] = [];
  for (const { place, folders } of places) {
    const found = folders?.map((folder) => join(folder, fileName)).find(isProgram);
    if (found !== undefined) return found;
    notes.push({ what: `${place}: ${folders ? `no ${fileName}` : 'not set'}` });
  }
  throw new FileError([diagnostic('F001', `${fileName} is not there`, { notes, help })]);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

export interface ToolRun {
  readonly findings: Findings;
  readonly ended: Ended;
}

export interface ToolOptions {
  /** What runs under the tool: a program and its words. */
  readonly command: readonly [string, ...string[]];
  /** After so long it is ended. */
  readonly minutes: number;
  /** Where all of its output goes as well. */
  readonly file?: string | undefined;
}

/**
 * Runs a tool to its end; no output is too long. Throws FileError F005 where the file cannot be written, F001 where the
 * tool does not start.
 */
export async function runTool(
  { path }: Sanitizer,
  tool: Tool,
  { command, minutes, file }: ToolOptions,
): Promise<ToolRun> {
  const findings = new Findings(tool);
  const words = [
    ...['--tool', tool, '--target-processes', 'all'],
    // After a hundred findings it would be silent; the stacks of the host say nothing of a kernel.
    ...['--print-limit', '0', '--show-backtrace', 'device'],
  ];
  const log = file === undefined ? undefined : openLog(file);
  const child = spawn(path, [...words, ...command], {
    // A group of its own, so that all of it can be ended: the tool starts helpers, and our program.
    detached: true,
    env: { ...process.env, WARPLOOM_GRAPHS: 'off' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const kill = () => killGroup(child.pid);
  const signals = (['SIGINT', 'SIGTERM', 'SIGHUP'] as const).map((signal) => {
    const leave = () => {
      kill();
      process.exit(signal === 'SIGINT' ? exit.interrupted : 128 + system.signals[signal]);
    };
    process.once(signal, leave);
    return [signal, leave] as const;
  });
  let isOverdue = false;
  const timer = setTimeout(() => {
    isOverdue = true;
    kill();
  }, minutes * 60_000);
  try {
    const ending = new Promise<Ended>((ended, failed) => {
      child.on('error', (cause) => {
        const what = `'${path}' does not start: ${cause.message}`;
        failed(new FileError([diagnostic('F001', what, { help })], { cause }));
      });
      child.on('exit', (code, signal) => {
        // What it leaves behind would hold our pipes.
        kill();
        ended({ code, signal, overdue: isOverdue ? minutes : undefined });
      });
    });
    const [ended] = await Promise.all([
      ending,
      ...[child.stdout, child.stderr].map(async (stream) => {
        for await (const line of linesOf(stream)) {
          findings.take(line);
          log?.write(line);
        }
      }),
    ]);
    return { findings, ended };
  } finally {
    clearTimeout(timer);
    for (const [signal, leave] of signals) process.off(signal, leave);
    if (child.exitCode === null && child.signalCode === null) kill();
    log?.close();
  }
}

const linesOf = (input: Readable) =>
  createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });

function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

/** As it comes, so that a run that is cut short has left what it said. */
function openLog(path: string) {
  const attempt = <T>(step: () => T): T => {
    try {
      return step();
    } catch (cause) {
      throw cannotWrite(path, cause);
    }
  };
  const handle = attempt(() => openSync(path, 'w'));
  return {
    write: (line: string) => attempt(() => writeSync(handle, `${line}\n`)),
    close: () => closeSync(handle),
  };
}
