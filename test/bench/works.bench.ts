// The works of the bench of attention for the rivals' half, as a file: `npm run bench -- works works.json`.

import { writeFileSync } from 'node:fs';
import { subjects } from './attention/subjects.ts';
import { works } from './attention/works.ts';

const described = works.map((work) => {
  const { pairs, drawn } = subjects[work.subject];
  return { ...work, pairs: pairs(work), ...(drawn && { drawn: drawn(work) }) };
});
const [file = 'works.json'] = process.argv.slice(2);
writeFileSync(file, JSON.stringify(described));
