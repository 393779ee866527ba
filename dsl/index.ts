// The language, as authors import it. Analysis and plans are imported from their own files.

export { type Code, codes, type Diagnostic, PatternError, render } from './diagnostic.ts';
export { antidiagonal, divergence, where } from './estimate/trace.ts';
export type * from './estimate/values.ts';
export { count, f32, fixed, type Given, i32, type ParameterValues } from './given.ts';
export { byHead, type HeadPatterns, type LayerCall } from './heads.ts';
export { type AnyPattern, type Pair, Pattern, pattern, type ScoredPair } from './pattern.ts';
export type { KeySpan, Knobs, VisitInputs } from './schedule.ts';
