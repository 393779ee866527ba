// Law 14 as a whole: every code of the table has a bad spec and the mended one in some test, is given by
// some source file, and says what it means in one plain clause.

import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Code, codes } from '../../dsl/diagnostic.ts';

const root = resolve(import.meta.dirname, '../..');

/** The texts of all TypeScript files of some folders. */
const textsOf = (...folders: string[]): { path: string; text: string }[] =>
  folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts'))
      .map((path) => join(folder, path))
      .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') })),
  );

/** A case stands in a test as `describe('T001: ...', ...)`, or as the row `  L001: [` of a table of pairs. */
const claims = /(?:^ {2}([A-Z]\d{3}): \[)|(?:\b(?:describe|it|test)\(\s*'([A-Z]\d{3}): )/gm;

const all = Object.keys(codes) as Code[];
const tested = new Set(
  textsOf('test/diagnostics', 'test/cli').flatMap(({ text }) =>
    [...text.matchAll(claims)].map(([, row, title]) => row ?? title),
  ),
);
const sources = textsOf('dsl', 'codegen', 'patterns', 'runtime').filter(
  ({ path }) => path !== 'dsl/diagnostic.ts',
);

describe('every code', () => {
  it.each(all)('%s has a bad spec and the mended one', (code) => {
    expect(tested).toContain(code);
  });

  it('is given by some source file', () => {
    const given = new Set(
      sources.flatMap(({ text }) => [...text.matchAll(/'([A-Z]\d{3})'/g)].map(([, code]) => code)),
    );
    expect(all.filter((code) => !given.has(code))).toEqual([]);
  });

  it('that a source file gives is in the table', () => {
    const unknown = sources.flatMap(({ path, text }) =>
      [...text.matchAll(/'([LTSEFR]\d{3})'/g)]
        .filter(([, code]) => !Object.hasOwn(codes, code!))
        .map(([, code]) => `${path}: ${code}`),
    );
    expect(unknown).toEqual([]);
  });

  it('says in one clause what is wrong', () => {
    for (const [code, text] of Object.entries(codes)) {
      expect(text, code).toMatch(/^['a-z].*[^.]$/);
      expect(text.length, code).toBeLessThan(80);
    }
  });
});
