// How a verb ends: what an error says on stderr, and the exit code. Nothing here decides what is wrong.

import { CommanderError } from 'commander';
import { type Diagnostic, PatternError, render } from '../../dsl/diagnostic.ts';

/** Exit codes: 0 fine, 1 something is wrong with what was given or found, 2 the command was misused. */
export const exit = { fine: 0, wrong: 1, usage: 2, interrupted: 130 } as const;

/** The command line itself makes no sense. */
export class UsageError extends Error {
  readonly hint: string;

  constructor(what: string, hint: string) {
    super(what);
    this.hint = hint;
  }
}

/** The diagnostics of an error; of another copy of warploom too, whose classes are not ours. */
export function diagnosticsOf(error: unknown): readonly Diagnostic[] | undefined {
  if (error instanceof PatternError) return error.diagnostics;
  if (!(error instanceof Error) || !('diagnostics' in error)) return undefined;
  const { diagnostics } = error;
  return Array.isArray(diagnostics) && diagnostics.every((one) => 'code' in one && 'what' in one)
    ? diagnostics
    : undefined;
}

/** What to print of an error (nothing where it has been said), and how to end. */
export function failureOf(error: unknown): { text: string | undefined; code: number } {
  const diagnostics = diagnosticsOf(error);
  if (diagnostics) return { text: diagnostics.map(render).join('\n\n'), code: exit.wrong };
  if (error instanceof UsageError) {
    return { text: `warploom: ${error.message}\n  = help: ${error.hint}`, code: exit.usage };
  }
  // Commander has printed its help or its complaint already.
  if (error instanceof CommanderError) {
    return { text: undefined, code: error.exitCode === 0 ? exit.fine : exit.usage };
  }
  if (error instanceof RangeError && /allocation|Invalid (typed )?array/i.test(error.message)) {
    const what = `warploom: this machine cannot give that much memory (${error.message})`;
    return { text: what, code: exit.wrong };
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error));
  const line = `warploom: ${message.split('\n')[0]}: this is a fault of warploom, please report it`;
  const isTraced = process.env.WARPLOOM_TRACE === '1';
  const more = isTraced ? stack : '  = help: WARPLOOM_TRACE=1 shows where it happened';
  return { text: `${line}\n${more}`, code: exit.wrong };
}
