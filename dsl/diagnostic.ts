// What can be wrong with a spec or an input, as data: the table of codes, the one renderer, the errors.
// Nothing here decides that something is wrong; the other files do, and name the code.

/** A text that spans point into: a file of the author, or the text of a function without a file. */
export interface Source {
  readonly path: string;
  readonly text: string;
}

/** A half-open range of characters `[start, end)` of a source. */
export interface Span {
  readonly source: Source;
  readonly start: number;
  readonly end: number;
}

/**
 * Every code, once. A code never changes its meaning; the first letter is the phase: `L` lifting a
 * mask or score, `T` tensors, shapes and parameters, `S` schedules and composition, `E` estimates,
 * `F` files, `R` running.
 */
export const codes = {
  L001: 'this syntax has no meaning on a device',
  L002: "'==' coerces",
  L003: 'a name that nothing declares',
  L004: 'a variable that can change',
  L005: 'a value from a package',
  L006: 'an impure function',
  L007: 'a helper that calls itself',
  L008: 'a statement that changes something',
  L009: 'the file differs from the function that runs',
  L010: 'the function and its lifted form disagree',
  L011: 'a value from an enclosing function',
  L012: 'no source file, and a name that only the file could explain',
  L013: 'arithmetic on floats in a mask',
  L014: 'a literal that is not a float32 number',
  L015: 'a divisor that may be zero',
  L016: 'a value of the wrong kind',
  L017: 'a field that the pair or the declarations do not have',
  L018: 'the function throws',
  L019: 'a function of Math that is not supported',
  L020: 'a wrong number of arguments',
  L021: 'a file that cannot be parsed',
  L022: 'the function is impure',
  T001: 'a tensor of the wrong rank',
  T002: 'sizes that do not agree',
  T003: 'a tensor of the wrong dtype',
  T004: 'a captured tensor is missing',
  T005: 'a name that the pattern does not declare',
  T006: 'a parameter outside its schema',
  T007: 'head counts that do not fit',
  T008: 'one number per head is needed',
  T009: 'an integer that leaves int32',
  T010: 'a number that is not finite',
  T011: 'a chosen set that does not fit',
  T012: 'data that do not fit the shape',
  T013: 'a declaration that is not a schema or a tensor',
  S001: 'an unknown or impossible knob',
  S002: 'gather names no set of single keys',
  S003: 'a stated schedule misses an allowed pair',
  S005: 'two patterns give one name different meanings',
  S006: 'two patterns both change the score',
  S007: 'patterns per head that do not fit',
  S008: 'a step of the builder that is out of place, given twice, or what it cannot be',
  E001: 'a size that must be fixed',
  E002: 'weights behind exp() have no scale',
  E003: 'estimate steps that do not fit together',
  E004: 'an estimate that is not a number',
  E005: 'an estimate that returns no sets',
  E006: 'a budget outside its range',
  E007: 'an estimate with segments',
  E008: 'a summary that is not pools of k and v of one size',
  E009: 'a score that stand-ins cannot have',
  E010: 'an estimate that has no kernels',
  F001: 'a file that cannot be read',
  F002: 'a damaged safetensors file',
  F003: 'a damaged .npy file',
  F004: 'a tensor that the file does not hold',
  F005: 'a file that cannot be written',
  F006: 'a damaged file of patterns per head',
  F007: 'a file that holds no chosen sets, or damaged ones',
  R001: 'a pattern that cannot be found',
  R002: 'a device that is not there',
  R003: 'used after dispose',
  R004: 'a worker that failed',
  R005: 'an option that is not understood',
  R006: 'the CUDA driver reports an error',
  R007: 'the device is out of memory',
  R008: 'the device faulted and stays refused',
  R009: 'the CUDA compiler NVRTC is not there',
  R010: 'an architecture that NVRTC does not know',
  R011: 'a kernel that the compiler refuses',
  R012: 'a tensor that is in the memory of a device',
  R013: 'a call that the device has no kernel for',
  R014: 'a call that is too large for an emulated device',
} as const;

export type Code = keyof typeof codes;

export interface Note {
  readonly what: string;
  readonly span?: Span | undefined;
}

/** One finding: what is wrong, where, and what to write instead. */
export interface Diagnostic {
  readonly code: Code;
  readonly severity: 'error' | 'warning';
  readonly what: string;
  readonly help?: string | undefined;
  readonly span?: Span | undefined;
  readonly notes: readonly Note[];
}

export function diagnostic(
  code: Code,
  what: string,
  rest: {
    help?: string;
    span?: Span | undefined;
    notes?: readonly Note[];
    severity?: 'warning';
  } = {},
): Diagnostic {
  const { help, span, notes = [], severity = 'error' } = rest;
  return { code, severity, what, help, span, notes };
}

/** Line and column, both from 1, of a character of a source. */
export function position(source: Source, offset: number): { line: number; column: number } {
  const before = source.text.slice(0, offset);
  const line = before.split('\n').length;
  return { line, column: offset - (before.lastIndexOf('\n') + 1) + 1 };
}

function frame(span: Span): string {
  const { line, column } = position(span.source, span.start);
  const text = span.source.text.split('\n')[line - 1] ?? '';
  const gutter = ' '.repeat(String(line).length);
  const width = Math.max(1, Math.min(span.end - span.start, text.length - column + 1));
  // Long lines (bundled or minified code) are cut around the place that matters.
  const from = Math.max(0, column - 1 - 60);
  const shown = text.slice(from, from + 140);
  const caret =
    ' '.repeat(column - 1 - from) + '^'.repeat(Math.min(width, 140 - (column - 1 - from)));
  return [
    `${gutter}--> ${span.source.path}:${line}:${column}`,
    `${gutter} |`,
    `${line} | ${shown}`,
    `${gutter} | ${caret}`,
  ].join('\n');
}

/** The text of one diagnostic: a line, a code frame where there is a span, help and notes. */
export function render(finding: Diagnostic): string {
  const lines = [`${finding.severity}[${finding.code}]: ${finding.what}`];
  if (finding.span) lines.push(frame(finding.span));
  for (const note of finding.notes) {
    lines.push(`  = note: ${note.what}`);
    if (note.span) lines.push(frame(note.span));
  }
  if (finding.help) lines.push(`  = help: ${finding.help}`);
  return lines.join('\n');
}

/** All that is wrong, thrown once. `diagnostics` is the data, `message` the rendered text. */
export class PatternError extends Error {
  readonly diagnostics: readonly Diagnostic[];
  /** The code of the first diagnostic. */
  readonly code: Code;

  constructor(diagnostics: readonly [Diagnostic, ...Diagnostic[]], options?: ErrorOptions) {
    super(diagnostics.map(render).join('\n\n'), options);
    this.name = new.target.name;
    this.diagnostics = diagnostics;
    this.code = diagnostics[0].code;
  }
}

/** A mask or score that cannot be lifted. */
export class LiftError extends PatternError {}
/** Tensors, shapes, dtypes or parameters that do not fit. */
export class ShapeError extends PatternError {}
/** A schedule, a composition or an estimate that does not fit. */
export class PlanError extends PatternError {}
/** A file that cannot be read or written. */
export class FileError extends PatternError {}
/** A device or worker that cannot do its work. */
export class DeviceError extends PatternError {}

/** Throws the errors among the findings as one error, or returns when there are none. */
export function throwIfAny(
  findings: readonly Diagnostic[],
  Kind: new (d: readonly [Diagnostic, ...Diagnostic[]]) => PatternError,
): void {
  const errors = findings.filter((finding) => finding.severity === 'error');
  const [first, ...others] = errors;
  if (first) throw new Kind([first, ...others]);
}

/** For mistakes of ours, never of the user. */
export function invariant(condition: unknown, sentence: string): asserts condition {
  if (!condition) throw new Error(`warploom is at fault: ${sentence}`);
}
