// `npm run build`: compiles the published part of the tree to dist/, or to the folder that is named, as ESM
// with its types. Not the native addon: npm's install step builds that (runtime/native/install.mjs).

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
/** Within the tree, so that what is compiled finds its packages. */
const dist = resolve(root, process.argv[2] ?? 'dist');
const parts = ['index.ts', 'cli.ts', 'dsl', 'codegen', 'runtime', 'patterns'];

/** Runs Node and ends the build when that fails. */
function run(what, args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) {
    console.error(`build: ${what} failed`);
    process.exit(1);
  }
}

function compile() {
  // In build/, which git ignores; builds at one time do not meet.
  const config = join(root, 'build', `tsconfig-${process.pid}.json`);
  mkdirSync(dirname(config), { recursive: true });
  const include = parts.filter((part) => existsSync(join(root, part)));
  const settings = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { rootDir: root, outDir: dist, noEmitOnError: true },
    include: include.map((part) => join(root, part)),
    exclude: [join(root, 'node_modules'), dist, join(root, '**/*.test.ts')],
  };
  writeFileSync(config, `${JSON.stringify(settings, null, 2)}\n`);
  const typescript = createRequire(import.meta.url).resolve('typescript/package.json');
  run('tsc', [join(dirname(typescript), 'bin', 'tsc'), '-p', config]);
  rmSync(config);
  return parts.filter((part) => !include.includes(part));
}

/** CUDA C and C++ that is read at run time: the primitives of kernels, and the emulator's versions of them. */
function copySources() {
  const isSource = (name) => /\.(cuh|h|cc)$/.test(name);
  for (const folder of ['codegen/device', 'runtime/emulator']) {
    const files = readdirSync(join(root, folder), { recursive: true }).filter(isSource);
    for (const file of files) cpSync(join(root, folder, file), join(dist, folder, file));
  }
}

/** The command must start under a plain `node`, and by its own name. */
function makeExecutable(cli) {
  if (!readFileSync(cli, 'utf8').startsWith('#!/usr/bin/env node\n')) {
    console.error("build: cli.ts must begin with the line '#!/usr/bin/env node'");
    process.exit(1);
  }
  chmodSync(cli, 0o755);
}

/** Lifts the built-in patterns once, from the compiled code, so that using them needs no parser. */
async function prelift() {
  const load = (file) => import(pathToFileURL(join(dist, file)));
  const { patterns } = await load('patterns/index.js');
  const { lifted } = await load('dsl/definition.js');
  const { liftKey, storable } = await load('dsl/lift/stored.js');
  const table = {};
  for (const [pattern, { definition }] of patterns) {
    const { declarations, mask, score } = lifted(definition);
    const add = (step, { fn }, form) => {
      table[liftKey({ step, pattern, fn, site: undefined, declarations })] = storable(form);
    };
    add('mask', definition.mask.arrow, mask);
    if (score) add('score', definition.score, score);
  }
  const code = `// Written by the build.\nexport const lifted = ${JSON.stringify(table)};\n`;
  writeFileSync(join(dist, 'patterns', 'lifted.js'), code);
}

rmSync(dist, { recursive: true, force: true });
const absent = compile();
copySources();
const cli = join(dist, 'cli.js');
if (existsSync(cli)) makeExecutable(cli);
await prelift();
console.log(
  `build: ${relative(root, dist)}/ is complete${absent.length ? `, without ${absent.join(', ')}` : ''}`,
);
