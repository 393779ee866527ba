// `npm run bundle [-- --out file.tar.gz] [--with-nvrtc folder] [--compile words]`: one archive for a GPU server without
// network and without Node. It holds this Node, the compiled package with its native addon, what they need at run
// time, the device tests and benches, and kernels that are compiled ahead; the server adds an NVIDIA driver and, for
// other kernels, NVRTC (of its CUDA toolkit, of Python's nvidia packages, or from a folder of this machine).

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const name = 'warploom-bundle';
/** What comes after --compile is not ours. */
const [own, ahead] = splitAt(process.argv.slice(2), '--compile');
const options = new Command('npm run bundle --')
  .description('one archive for a GPU server without network and without Node')
  .option('--out <file>', 'the archive', join(root, 'build', `${name}.tar.gz`))
  .option('--with-nvrtc <folder>', 'NVRTC of this machine, for servers that have none')
  .option(
    '--compile <words...>',
    "kernels that its first calls find there; last, with the words of 'warploom compile': causal --arch sm_90a ...",
  )
  .exitOverride(({ exitCode }) => process.exit(exitCode && 2)) // 2: as for all mistakes of usage
  .parse(own, { from: 'user' })
  .opts();
const archive = resolve(options.out);
const nvrtc = options.withNvrtc && resolve(options.withNvrtc);
if (nvrtc && !existsSync(nvrtc))
  fail(`there is no folder ${nvrtc}: give one that holds libnvrtc.so`);
/** Of all but NVRTC. */
const mostBytes = 60 * 2 ** 20;
/** Within the tree, so that what is compiled finds its packages. */
mkdirSync(join(root, 'build'), { recursive: true });
const work = mkdtempSync(join(root, 'build', 'bundle-'));
const staging = join(work, name);
process.on('exit', () => rmSync(work, { recursive: true, force: true }));

function run(command, args) {
  const done = spawnSync(command, args, { cwd: root, stdio: 'inherit' });
  if (done.error || done.status !== 0) fail(`${command} ${args.join(' ')} failed`);
}

function splitAt(words, word) {
  const at = words.indexOf(word);
  return at < 0 ? [words, undefined] : [words.slice(0, at), words.slice(at + 1)];
}

/** Says itself what is wrong with its words. */
function compileAhead(words) {
  const command = [
    '--import',
    import.meta.resolve('tsx'),
    join(root, 'cli.ts'),
    'compile',
    ...words,
  ];
  const folder = ['--cache', join(staging, 'kernels')];
  const { status } = spawnSync(process.execPath, [...command, ...folder], { stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

function fail(what) {
  console.error(`bundle: ${what}`);
  process.exit(1);
}

/** The packages that the compiled package loads, and what those load, without the tools of a build. */
function runtimePackages() {
  const found = new Map();
  const visit = (wanted, from) => {
    if (found.has(wanted)) return;
    const folder = packageFolder(wanted, from);
    if (!folder) return;
    found.set(wanted, folder);
    const { dependencies, optionalDependencies } = JSON.parse(
      readFileSync(join(folder, 'package.json'), 'utf8'),
    );
    for (const dependency of Object.keys({ ...dependencies, ...optionalDependencies }))
      visit(dependency, folder);
  };
  for (const wanted of ['zod', 'commander', 'ts-morph', 'tsx', 'fast-check']) visit(wanted, root);
  return found;
}

function packageFolder(wanted, from) {
  for (let folder = from; ; folder = dirname(folder)) {
    const place = join(folder, 'node_modules', wanted);
    if (existsSync(join(place, 'package.json'))) return place;
    if (folder === dirname(folder)) return undefined;
  }
}

/** The device tests and the benches, loaded by one program; they use the compiled package, not a copy of it. */
async function compileTests() {
  const parts = ['dsl', 'codegen', 'runtime', 'patterns', 'index.ts'];
  const toPackage = {
    name: 'package',
    setup({ onResolve }) {
      onResolve({ filter: /^\.\.?\// }, ({ path, resolveDir }) => {
        const inside = relative(root, resolve(resolveDir, path));
        if (!parts.includes(inside.split('/')[0])) return undefined;
        return { path: `../dist/${inside.replace(/\.ts$/, '.js')}`, external: true };
      });
    },
  };
  await build({
    entryPoints: {
      programs: join(root, 'test', 'programs', 'run.ts'),
      'planted-worker': join(root, 'test', 'bench', 'planted-worker.ts'),
    },
    outdir: join(staging, 'tests'),
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    external: [...runtimePackages().keys()],
    plugins: [toPackage],
    logLevel: 'warning',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
}

/** The rivals' half of the bench of attention, which is Python's, with the works that it times. */
function addRivals() {
  const tests = join(staging, 'tests');
  copyFileSync(join(root, 'test', 'bench', 'attention', 'rivals.py'), join(tests, 'rivals.py'));
  run(process.execPath, [join(tests, 'programs.mjs'), 'bench:works', join(tests, 'works.json')]);
}

const launcher = `#!/bin/sh
# warploom without an installation: './warploom --help' for its verbs. The other programs, each with --help:
#   ./warploom bench:                      says which benches there are
#   ./warploom test:device --minutes 8     the laws on the GPU; --device emulated:sm_80 needs a C++ compiler
#   ./warploom test:laws --minutes 30      the laws on the CPU, as long as you like
#   ./warploom test:core                   the CUDA core on the GPU
#   ./warploom test:primitives             what the emulator takes for granted, on an H100 or H200; needs a C++ compiler
#   ./warploom test:sanitizers             compute-sanitizer of a CUDA toolkit over the kernels of all patterns
#   ./warploom tune:defaults --out defaults.ts         the table of defaults that the code ships
#   python3 tests/rivals.py --json rivals.json         the rivals' half of bench:attention, needs PyTorch
here=$(cd "$(dirname "$0")" && pwd)
# Kernels that were compiled ahead are only read; new ones go to WARPLOOM_CACHE, which is the user's own.
[ -d "$here/kernels" ] && export WARPLOOM_KERNELS="\${WARPLOOM_KERNELS:-$here/kernels}"
case "$1" in
  bench:* | test:* | tune:*) exec "$here/node" "$here/tests/programs.mjs" "$@" ;;
  *) exec "$here/node" "$here/dist/cli.js" "$@" ;;
esac
`;

/** The libraries of NVRTC, where the package looks for them. */
function addNvrtc(folder) {
  const libraries = readdirSync(folder).filter((file) => /^libnvrtc(-builtins)?\.so/.test(file));
  if (libraries.length === 0) fail(`${folder} holds no libnvrtc.so*`);
  for (const file of libraries)
    cpSync(join(folder, file), join(staging, '.warploom', 'nvrtc', file), { dereference: true });
}

/** The newest version of a library that a program asks for: 'GLIBC' gives '2.34'. */
function needs(library, files) {
  const found = files.flatMap((file) => [
    ...readFileSync(file, 'latin1').matchAll(new RegExp(`\\b${library}_(\\d+(\\.\\d+)+)\0`, 'g')),
  ]);
  const versions = found.map(([, version]) => version);
  return versions.sort((a, b) => a.localeCompare(b, 'en', { numeric: true })).at(-1);
}

mkdirSync(staging);
// First: a mistake in the words is told at once.
if (ahead) compileAhead(ahead);
// After a pull the addon may be older than its text; one that is not stays as it is.
run(process.execPath, [join(root, 'runtime', 'native', 'install.mjs')]);
run(process.execPath, [join(root, 'runtime', 'build.mjs'), join(staging, 'dist')]);
const addon = join(root, 'build', 'Release', 'warploom.node');
if (!existsSync(addon)) fail("the native addon is not built: 'npm run install' says why");
for (const part of ['package.json', 'LICENSE', 'README.md'])
  copyFileSync(join(root, part), join(staging, part));
mkdirSync(join(staging, 'build', 'Release'), { recursive: true });
copyFileSync(addon, join(staging, 'build', 'Release', 'warploom.node'));
for (const [wanted, folder] of runtimePackages())
  cpSync(folder, join(staging, 'node_modules', wanted), {
    recursive: true,
    // esbuild's command is its program once more.
    filter: (file) =>
      !/\.(map|d\.ts|d\.cts|d\.mts|md)$/.test(file) && !file.endsWith(join('esbuild', 'bin')),
  });
await compileTests();
addRivals();
const node = join(staging, 'node');
copyFileSync(process.execPath, node);
chmodSync(node, 0o755);
// Without its symbols Node is a tenth smaller; no tool for that is no harm.
spawnSync('strip', [node]);
writeFileSync(join(staging, 'warploom'), launcher);
chmodSync(join(staging, 'warploom'), 0o755);
if (nvrtc) addNvrtc(nvrtc);
mkdirSync(dirname(archive), { recursive: true });
run('tar', ['-czf', archive, '-C', work, name]);

const { size } = statSync(archive);
const megabytes = (size / 2 ** 20).toFixed(1);
if (!nvrtc && size > mostBytes) fail(`${archive} has ${megabytes} MB, more than 60`);
const [glibc, libstdc] = ['GLIBC', 'GLIBCXX'].map((library) => needs(library, [node, addon]));
const { arch, platform, version } = process;
console.log(`bundle: ${archive}, ${megabytes} MB: Node ${version} for ${platform} ${arch}
bundle: the server needs glibc ${glibc}, libstdc++ GLIBCXX_${libstdc}, and for a GPU its driver${nvrtc ? '' : ' and NVRTC'}
bundle: there: tar xzf ${name}.tar.gz && ./${name}/warploom doctor`);
