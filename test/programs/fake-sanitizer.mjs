// Speaks as compute-sanitizer does around a program that it really runs, and finds what FAKE_SANITIZER says: JSON of
// `found`, by tool and pattern, and what else is wrong. It refuses words without which the real one would be blind.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

const words = process.argv.slice(2);
if (words[0] === '--version') {
  console.log('NVIDIA (R) Compute Sanitizer\nVersion 2025.4.1.0 (build 1) (public-release)');
  process.exit();
}
const { found = {}, sum, killed, hangs, isSilent } = JSON.parse(process.env.FAKE_SANITIZER);
const options = { '--target-processes': 'all', '--print-limit': '0', '--show-backtrace': 'device' };
for (const [option, value] of Object.entries({ '--tool': words[1], ...options })) {
  const [name, own] = words.splice(0, 2);
  if (name !== option || own !== value) throw new Error(`${name} ${own} for ${option} ${value}`);
  if (name === '--tool') options.tool = own;
}
if (process.env.WARPLOOM_GRAPHS !== 'off') throw new Error('kernels in graphs');

const own = (text) => console.log(text.replaceAll(/^/gm, '========= '));
own('COMPUTE-SANITIZER');
const [program, ...rest] = words;
const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
const ended = once(child, 'exit');
for await (const line of createInterface({ input: child.stdout })) {
  console.log(line);
  const [, pattern] = /^warploom calls (.*)$/.exec(line) ?? [];
  for (const text of found[options.tool]?.[pattern] ?? []) own(`${text}\n`);
  if (pattern === killed) child.kill('SIGKILL');
  // What it starts outlives it, and holds its output.
  if (pattern === hangs) spawn('sleep', ['600'], { stdio: 'inherit' });
}
if (hangs) await new Promise((resolve) => setTimeout(resolve, 600_000));
const count = Object.values(found[options.tool] ?? {}).flat().length;
const sums = {
  racecheck: `RACECHECK SUMMARY: ${sum ?? count} hazard${count === 1 ? '' : 's'} displayed (${count} errors, 0 warnings)`,
};
if (!isSilent)
  own(sums[options.tool] ?? `ERROR SUMMARY: ${sum ?? count} error${count === 1 ? '' : 's'}`);
const [code] = await ended;
// As some versions do where the program is killed.
process.exit(code ?? 0);
