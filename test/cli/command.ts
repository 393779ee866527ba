// The command as tests use it: a real process, or the same words inside this one (fast, but without
// modules of a user, signals and pipes).

import { spawn } from 'node:child_process';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { fromMInference, patterns } from '../../patterns/index.ts';
import { perform } from '../../runtime/commands/index.ts';
import { Terminal } from '../../runtime/commands/terminal.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The words after `node` that are the real command with these words. */
export function argumentsOf(words: readonly string[]): string[] {
  const { href } = new URL('../../node_modules/tsx/dist/loader.mjs', import.meta.url);
  return ['--import', href, join(root, 'cli.ts'), ...words];
}

/** A process that has started. */
export function start(words: readonly string[], cwd = root) {
  const args = argumentsOf(words);
  const child = spawn(process.execPath, args, { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err]: [string[], string[]] = [[], []];
  child.stdout.on('data', (data) => out.push(String(data)));
  child.stderr.on('data', (data) => err.push(String(data)));
  const ended = new Promise<Ended>((resolve) => {
    child.on('close', (code) => resolve({ code, out: out.join(''), err: err.join('') }));
  });
  return { child, ended };
}

/** The real command, from its words to its end. */
export const warploom = (...words: readonly string[]): Promise<Ended> => start(words).ended;

/** The same words in this process. */
export async function say(...words: readonly string[]): Promise<Ended> {
  const [out, err] = [new PassThrough(), new PassThrough()];
  const terminal = new Terminal(out, err);
  const { signal } = new AbortController();
  const code = await perform(words, {
    patterns,
    readHeads: fromMInference,
    modules: {},
    terminal,
    signal,
  });
  const text = (stream: PassThrough): string => String(stream.read() ?? '');
  return { code, out: text(out), err: text(err) };
}

/** A new folder outside the repository, with these files. */
export function folder(files: Readonly<Record<string, string>> = {}): string {
  const path = mkdtempSync(join(tmpdir(), 'warploom cli '));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(path, name), text);
  return path;
}
