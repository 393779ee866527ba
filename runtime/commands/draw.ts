// `warploom draw`
import type { PatternVerb } from './verb.ts';
export const draw: PatternVerb<object> = {
  name: 'draw',
  summary: '',
  examples: [],
  addOptions() {},
  async act() {
    return 0;
  },
};
