// `npm run bench -- attention`, and all other benches by name: the first word is a file beside this one.

import { readdirSync } from 'node:fs';

const ending = '.bench.ts';
const names = readdirSync(import.meta.dirname).flatMap((file) =>
  file.endsWith(ending) ? [file.slice(0, -ending.length)] : [],
);
const [name = ''] = process.argv.splice(2, 1);
if (names.includes(name)) await import(`./${name}${ending}`);
else {
  console.error(`no bench '${name}'; there are: ${names.join(', ')}`);
  process.exitCode = 2;
}
