// The house rules that a machine can check: which folder may import which, no cycles, file sizes.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = resolve(import.meta.dirname, '..');
// `codegen` comes with the first kernels.
const folders = ['dsl', 'codegen', 'runtime', 'patterns', 'examples'].filter((name) =>
  existsSync(join(root, name)),
);

/** What a folder may import besides itself and packages. */
const allowed: Record<string, readonly string[]> = {
  dsl: [],
  codegen: ['dsl'],
  patterns: ['dsl'],
  runtime: ['dsl', 'codegen'],
  examples: ['dsl', 'codegen', 'runtime', 'patterns', 'index.ts'],
  'index.ts': ['dsl', 'codegen', 'runtime', 'patterns'],
  'cli.ts': ['dsl', 'codegen', 'runtime', 'patterns'],
};

function* filesIn(folder: string): Generator<string> {
  for (const entry of readdirSync(join(root, folder)).sort()) {
    const path = join(folder, entry);
    if (statSync(join(root, path)).isDirectory()) yield* filesIn(path);
    else if (path.endsWith('.ts')) yield path;
  }
}

const files = [...folders.flatMap((folder) => [...filesIn(folder)]), 'index.ts', 'cli.ts'];
const top = (path: string): string => path.split('/')[0]!;

interface Import {
  readonly from: string;
  readonly isType: boolean;
}

function importsOf(path: string): Import[] {
  const text = readFileSync(join(root, path), 'utf8');
  const lines = text.matchAll(/^(?:import|export)\s+(type\s)?[^;]*?from\s+'([^']+)'/gms);
  return [...lines].map(([, type, from]) => ({ from: from!, isType: type !== undefined }));
}

const local = (path: string, { from }: Import): string | undefined =>
  from.startsWith('.') ? relative(root, resolve(root, dirname(path), from)) : undefined;

describe('the structure', () => {
  it('lets data flow one way: dsl -> codegen -> runtime', () => {
    const wrong = files.flatMap((path) =>
      importsOf(path)
        .map((one) => local(path, one))
        .filter(
          (to) =>
            to !== undefined && top(to) !== top(path) && !allowed[top(path)]!.includes(top(to)),
        )
        .map((to) => `${path} imports ${to}`),
    );
    expect(wrong).toEqual([]);
  });

  it('lets dsl import zod, and ts-morph in one file alone', () => {
    const packages = new Map<string, string[]>();
    for (const path of files.filter((one) => top(one) === 'dsl')) {
      for (const { from } of importsOf(path)) {
        if (from.startsWith('.') || from.startsWith('node:')) continue;
        packages.set(from, [...(packages.get(from) ?? []), path]);
      }
    }
    expect([...packages.keys()].filter((name) => name !== 'zod' && name !== 'ts-morph')).toEqual(
      [],
    );
    expect(packages.get('ts-morph') ?? []).toHaveLength(1);
  });

  it('has no cycles among the imports that run', () => {
    const edges = new Map(
      files.map((path) => [
        path,
        importsOf(path)
          .filter(({ isType }) => !isType)
          .map((one) => local(path, one))
          .filter((to) => to !== undefined),
      ]),
    );
    const state = new Map<string, 'open' | 'done'>();
    const cycles: string[] = [];
    const visit = (path: string, trail: readonly string[]): void => {
      if (state.get(path) === 'done') return;
      if (state.get(path) === 'open') {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '));
        return;
      }
      state.set(path, 'open');
      for (const to of edges.get(path) ?? []) visit(to, [...trail, path]);
      state.set(path, 'done');
    };
    for (const path of files) visit(path, []);
    expect(cycles).toEqual([]);
  });

  it('keeps every source file under 500 lines, and patterns under 40', () => {
    const long = files
      .map((path) => [path, readFileSync(join(root, path), 'utf8').split('\n').length] as const)
      .filter(
        ([path, lines]) =>
          lines > (dirname(path) === 'patterns' && !path.endsWith('index.ts') ? 40 : 500),
      );
    expect(long).toEqual([]);
  });

  it('says in the first line of each file what lives there', () => {
    const silent = files.filter((path) => {
      const text = readFileSync(join(root, path), 'utf8').replace(/^#!.*\n/, '');
      return top(path) !== 'patterns' && !text.startsWith('//');
    });
    expect(silent).toEqual([]);
  });
});
