// Which pattern a verb is about: a built-in by its name, or an export of a file of the user.

import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Definition } from '../../dsl/definition.ts';
import { diagnostic, PatternError } from '../../dsl/diagnostic.ts';
import { type HeadPatterns, isHeadPatterns, type LayerCall } from '../../dsl/heads.ts';
import { type AnyPattern, isPattern } from '../../dsl/pattern.ts';
import { importModule, type OwnModules, shown } from './modules.ts';
import { suggestion } from './nearest.ts';

/** What the command line is given by its entry: this folder may not import the patterns. */
export interface Setting {
  readonly patterns: ReadonlyMap<string, AnyPattern>;
  readonly modules: OwnModules;
  /** Reads a file of patterns per head: its text, and what errors call it. */
  readonly readHeads: (text: string, options: { readonly file: string }) => readonly LayerCall[];
}

/** A pattern, or one per head, that a verb was told to use. */
export interface Target {
  readonly name: string;
  readonly pattern: AnyPattern | HeadPatterns;
  /** The distinct patterns, in the order of their first head. */
  readonly definitions: readonly Definition[];
  /** Numbers that come with it, where the command line gives no others. */
  readonly params?: LayerCall['params'];
}

const isTarget = (value: unknown): value is AnyPattern | HeadPatterns =>
  isPattern(value) || (isHeadPatterns(value) && value.byHead.every(isPattern));

/** The distinct definitions of a pattern, or of one per head. */
export function definitionsOf(pattern: AnyPattern | HeadPatterns): Definition[] {
  const all = isHeadPatterns(pattern) ? pattern.byHead : [pattern];
  return [...new Set(all.map(({ definition }) => definition))];
}

/** The exports of a module that are patterns, by name. */
export function patternsIn(
  module: Readonly<Record<string, unknown>>,
): [name: string, pattern: AnyPattern | HeadPatterns][] {
  return Object.entries(module).filter((entry): entry is [string, AnyPattern | HeadPatterns] =>
    isTarget(entry[1]),
  );
}

/**
 * Finds what `spec` names: a built-in, `path/to/file.ts#export`, or the file alone where it exports one.
 * Throws PatternError R001, and what importing the file throws.
 */
export async function findTarget(spec: string, setting: Setting): Promise<Target> {
  const builtIn = setting.patterns.get(spec);
  if (builtIn) return { name: spec, pattern: builtIn, definitions: definitionsOf(builtIn) };
  const { path, name } = splitName(spec);
  const isFile = existsSync(path) || /[/\\]|\.[cm]?[jt]sx?$/.test(path);
  if (!isFile) {
    const names = [...setting.patterns.keys()];
    const near = suggestion(spec, names);
    throw missing(
      `there is no pattern '${spec}'`,
      near ?? `there is ${names.join(', ')}; or name a file: path/to/file.ts#export`,
    );
  }
  const module = await importModule(resolve(path), setting.modules);
  const pattern = choose(module, shown(resolve(path)), name);
  const [first, ...others] = definitionsOf(pattern);
  if (!first) throw missing(`'${spec}' has no heads`, 'give byHead one pattern per query head');
  const title =
    others.length === 0
      ? first.name
      : `${name ?? 'byHead'} (${[first, ...others].map((one) => one.name).join(', ')})`;
  return { name: title, pattern, definitions: [first, ...others] };
}

/** What several words name; `all` is every built-in. Throws as `findTarget`. */
export async function findTargets(specs: readonly string[], setting: Setting): Promise<Target[]> {
  const all = specs.flatMap((spec) => (spec === 'all' ? [...setting.patterns.keys()] : [spec]));
  const targets: Target[] = [];
  for (const spec of new Set(all)) targets.push(await findTarget(spec, setting));
  return targets;
}

function choose(
  module: Readonly<Record<string, unknown>>,
  file: string,
  name: string | undefined,
): AnyPattern | HeadPatterns {
  const found = patternsIn(module);
  const names = found.map(([one]) => one);
  const list = `it exports ${names.join(', ')}`;
  if (name === undefined) {
    const [only, ...others] = found;
    if (only && others.length === 0) return only[1];
    if (!only)
      throw missing(
        `'${file}' exports no pattern`,
        'export one: export const mine = pattern(...).mask(...)',
      );
    throw missing(
      `'${file}' exports ${found.length} patterns`,
      `name one: ${file}#${names[0]}; ${list}`,
    );
  }
  const value = Object.hasOwn(module, name) ? module[name] : undefined;
  if (isTarget(value)) return value;
  const what = Object.hasOwn(module, name)
    ? `'${name}' of '${file}' is not a pattern${hasMask(value) ? ' yet: it has no mask' : ''}`
    : `'${file}' exports no '${name}'`;
  throw missing(
    what,
    suggestion(name, names) ??
      (names.length > 0 ? list : 'export one: export const mine = pattern(...).mask(...)'),
  );
}

const hasMask = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  'mask' in value &&
  typeof value.mask === 'function';

const missing = (what: string, help: string): PatternError =>
  new PatternError([diagnostic('R001', what, { help })]);

/** `file#name`, where a file may itself have a '#' in its name. */
export function splitName(spec: string): { path: string; name: string | undefined } {
  const at = spec.lastIndexOf('#');
  if (at < 0 || existsSync(spec)) return { path: spec, name: undefined };
  return { path: spec.slice(0, at), name: spec.slice(at + 1) };
}
