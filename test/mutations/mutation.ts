// What a deliberate fault is, and how lists of them are written.

export interface Mutation {
  /** Also its name, with --only: `interval: lt is never false at the edge`. */
  readonly why: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

export type Fault = readonly [why: string, find: string, replace: string];

export const inFile = (file: string, ...faults: readonly Fault[]): Mutation[] => {
  const topic = file.replace(/^.*\/([\w-]+)\.\w+$/, '$1');
  return faults.map(([why, find, replace]) => ({ why: `${topic}: ${why}`, file, find, replace }));
};
