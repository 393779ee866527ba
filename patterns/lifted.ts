// The lifted forms of the built-in patterns, by the key of dsl/lift/stored.ts. Empty in the source, where
// patterns are lifted when they are used; the build fills the compiled copy, so that the published
// package runs them without loading a parser.

import type { StoredTable } from '../dsl/lift/stored.ts';

export const lifted: StoredTable = {};
