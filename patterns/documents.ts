import { i32, pattern } from '../dsl/index.ts';

/** Causal attention inside each document of a packed sequence; `doc` numbers the document of every key. */
export const documents = pattern('documents', { doc: i32('batch', 'k') }).mask(
  ({ q, k, batch }, { doc }) => k <= q && doc.at(batch, q) === doc.at(batch, k),
);
