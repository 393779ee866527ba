// Reports of the benches of attention and of whole calls side by side: `npm run bench -- compare ours.json rivals.json`, any number of
// them. In the bundle: `./warploom bench:compare`.

import { readFileSync } from 'node:fs';
import { compareText } from './attention/compare.ts';
import { reportSchema } from './attention/report.ts';
import { againstLines } from './end-to-end/against.ts';
import { wholeWorks } from './end-to-end/works.ts';

const [first, ...others] = process.argv.slice(2).map((file) => {
  const parsed = reportSchema.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  if (!parsed.success) throw new Error(`${file} is no report: ${parsed.error.message}`);
  return parsed.data;
});
if (!first) throw new Error('name the reports: ours.json rivals.json');
console.log(
  [compareText([first, ...others]), ...againstLines([first, ...others], wholeWorks)].join('\n'),
);
