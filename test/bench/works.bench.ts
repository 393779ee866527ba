// The works of the bench of attention for the rivals' half, as a file.

import { writeAtomically } from '../../runtime/files/atomic.ts';
import { type Program, placeFrom } from '../programs/program.ts';
import { subjects } from './attention/subjects.ts';
import { works } from './attention/works.ts';

export const program: Program = {
  summary: 'measures nothing: writes the works of the bench of attention for rivals.py',
  operands: '[file]',
  examples: ['works.json'],
  addOptions() {},
  async act([file = 'works.json']) {
    const described = works.map((work) => {
      const { pairs, drawn } = subjects[work.subject];
      return { ...work, pairs: pairs(work), ...(drawn && { drawn: drawn(work) }) };
    });
    await writeAtomically(placeFrom(file), JSON.stringify(described));
    return 0;
  },
};
