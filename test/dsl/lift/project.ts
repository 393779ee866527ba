// A small project on disk that the tests write, transform with the usual tools, and run.

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import type { Liftable } from '../../../dsl/declarations.ts';
import { type Arrow, request } from './builder.ts';

export const root = fileURLToPath(new URL('../../..', import.meta.url));

/** The imports of a fixture that lifts: builder functions, and `show`, which prints what they give. */
export const prelude = `
import { canonical } from '${root}dsl/expression.ts';
import { diagnose } from '${root}dsl/lift/index.ts';
import { mask, score } from '${root}test/dsl/lift/builder.ts';
const show = (all) => console.log(JSON.stringify(Object.fromEntries(Object.entries(all).map(([name, it]) => {
  const { expression, findings } = diagnose(it);
  return [name, {
    form: expression && canonical(expression),
    from: expression?.span?.source.path.replace(/^.*\\//, ''),
    codes: findings.map((one) => one.code),
    whats: findings.map((one) => one.what + (one.notes.length ? ' | ' + one.notes.map((n) => n.what).join(' | ') : '')),
  }];
}))));
`;

export interface Shown {
  readonly form?: string;
  readonly from?: string;
  readonly codes: readonly string[];
  readonly whats: readonly string[];
}

export class Project {
  readonly dir: string;

  constructor(files: Readonly<Record<string, string>>, parent = tmpdir()) {
    // Spaces and parentheses are legal in paths, and stack frames have them too.
    this.dir = mkdtempSync(join(parent, 'warp (loom) '));
    symlinkSync(join(root, 'node_modules'), join(this.dir, 'node_modules'));
    for (const [name, text] of Object.entries(files)) this.write(name, text);
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  write(name: string, text: string): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), text);
  }

  read(name: string): string {
    return readFileSync(this.path(name), 'utf8');
  }

  /** The function `run`, as if it stood in a file that says `written` after `before`. */
  standing(written: string, run: Arrow, before = '', name = 'spec.ts'): Liftable {
    this.write(name, `${before}mask(${written});\n`);
    const line = before.split('\n').length;
    return request('mask', run, { file: this.path(name), line, column: 1 });
  }

  /** Runs a tool of node_modules/.bin. */
  tool(name: string, ...args: string[]): string {
    return execFileSync(join(root, 'node_modules/.bin', name), args, {
      cwd: this.dir,
      encoding: 'utf8',
    });
  }

  node(...args: string[]): string {
    return execFileSync(process.execPath, args, { cwd: this.dir, encoding: 'utf8' });
  }

  remove(): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** What `show` printed last. */
export function shown(output: string): Record<string, Shown> {
  return JSON.parse(output.trim().split('\n').at(-1)!) as Record<string, Shown>;
}
