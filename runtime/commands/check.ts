// `warploom check`: imports files, lifts and inspects every pattern that they export, and prints all that
// is wrong. Nothing but the top level of the files runs.

import { resolve } from 'node:path';
import { type Definition, inspect } from '../../dsl/definition.ts';
import { type Diagnostic, diagnostic, position, render } from '../../dsl/diagnostic.ts';
import { diagnosticsOf, exit, UsageError } from './failure.ts';
import { expand } from './files.ts';
import { importModule, shown } from './modules.ts';
import { definitionsOf, patternsIn } from './target.ts';
import type { Context, PlainVerb } from './verb.ts';

interface CheckedPattern {
  readonly pattern: string;
  readonly file: string;
  readonly export: string;
  readonly findings: readonly Diagnostic[];
}

export interface Checked {
  readonly files: number;
  readonly patterns: readonly CheckedPattern[];
  /** Of the patterns, and of the files that cannot be imported. */
  readonly findings: readonly Diagnostic[];
}

export const check: PlainVerb<{ readonly json?: boolean }> = {
  name: 'check',
  operands: '[files...]',
  summary: 'lift and inspect every pattern that files export; exit code 1 where something is wrong',
  examples: ['patterns/a-shape.ts', "'src/**/*.ts'", 'src --json'],
  addOptions(command) {
    command.option('--json', 'print one object for a program');
  },
  async act(words, { json }, context) {
    if (words.length === 0) {
      throw new UsageError(
        'no files to check',
        "name files, folders or patterns: warploom check 'src/**/*.ts'",
      );
    }
    const checked = await checkFiles(words, context);
    const errors = checked.findings.filter(({ severity }) => severity === 'error').length;
    const { terminal } = context;
    if (json) terminal.printJson(dataOf(checked, errors));
    else {
      if (checked.findings.length > 0)
        terminal.say(`${checked.findings.map(render).join('\n\n')}\n`);
      terminal.print(summaryOf(checked, errors));
    }
    return errors > 0 ? exit.wrong : exit.fine;
  },
};

/** Every file in turn; a pattern that several files export is inspected and counted once. */
export async function checkFiles(
  words: readonly string[],
  { modules, terminal }: Pick<Context, 'modules' | 'terminal'>,
): Promise<Checked> {
  const files = expand(words);
  const patterns: CheckedPattern[] = [];
  const findings: Diagnostic[] = [];
  if (files.length === 0) {
    const help = 'name files, folders or patterns of files';
    findings.push(diagnostic('R001', `no file matches ${words.join(' ')}`, { help }));
  }
  const seen = new Set<Definition>();
  const progress = terminal.progress('checking');
  for (const [i, file] of files.entries()) {
    progress.update(i / files.length);
    try {
      const module = await importModule(resolve(file), modules);
      for (const [name, pattern] of patternsIn(module)) {
        for (const definition of definitionsOf(pattern)) {
          if (seen.has(definition)) continue;
          seen.add(definition);
          const found = inspect(definition).findings;
          patterns.push({
            pattern: definition.name,
            file: shown(resolve(file)),
            export: name,
            findings: found,
          });
          findings.push(...found);
        }
      }
    } catch (error) {
      const found = diagnosticsOf(error);
      if (!found) throw error;
      findings.push(...found);
    }
  }
  progress.done();
  // Two files that import a broken third say the same of it.
  const once = new Map(findings.map((finding) => [render(finding), finding]));
  return { files: files.length, patterns, findings: [...once.values()] };
}

const counted = (count: number, what: string): string =>
  `${count} ${what}${count === 1 ? '' : 's'}`;

function summaryOf({ files, patterns, findings }: Checked, errors: number): string {
  const warnings = findings.length - errors;
  const said = [
    ...(errors > 0 ? [counted(errors, 'error')] : []),
    ...(warnings > 0 ? [counted(warnings, 'warning')] : []),
  ];
  const verdict = said.length > 0 ? said.join(', ') : 'nothing wrong';
  return `${counted(files, 'file')}, ${counted(patterns.length, 'pattern')}: ${verdict}`;
}

function dataOf({ files, patterns, findings }: Checked, errors: number) {
  return {
    files,
    patterns: patterns.map(({ findings: found, ...rest }) => ({ ...rest, findings: found.length })),
    errors,
    warnings: findings.length - errors,
    diagnostics: findings.map(located),
  };
}

/** A diagnostic with lines and columns for spans, without the text of the file. */
function located({ code, severity, what, help, span, notes }: Diagnostic) {
  const place = span && { file: span.source.path, ...position(span.source, span.start) };
  return {
    code,
    severity,
    what,
    ...place,
    ...(help !== undefined && { help }),
    notes: notes.map((note) => ({
      what: note.what,
      ...(note.span && {
        file: note.span.source.path,
        ...position(note.span.source, note.span.start),
      }),
    })),
  };
}
