// `npm run bundle`: one archive for a GPU server without network and without Node. It holds this Node, the
// compiled package with its native addon, what they need at run time, and the device tests; the server adds
// an NVIDIA driver and NVRTC (of its CUDA toolkit, or of Python's nvidia packages).

import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';

import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const name = 'warploom-bundle';
const staging = join(root, 'build', name);
const archive = resolve(process.argv[2] ?? join(root, 'build', `${name}.tar.gz`));
const mostBytes = 60 * 2 ** 20;

function run(command, args, options = {}) {
  const done = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (done.error || done.status !== 0) {
    console.error(`bundle: ${command} ${args.join(' ')} failed`);
    process.exit(1);
  }
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

/** The device tests as one file; they use the compiled package, not a copy of it. */
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
    entryPoints: [join(root, 'test', 'device', 'run.ts')],
    outfile: join(staging, 'tests', 'device.mjs'),
    bundle: true,
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

const launcher = `#!/bin/sh
# warploom without an installation: './warploom --help', or './warploom test:device --minutes 5'.
here=$(cd "$(dirname "$0")" && pwd)
if [ "$1" = test:device ]; then
  shift
  exec "$here/node" "$here/tests/device.mjs" "$@"
fi
exec "$here/node" "$here/dist/cli.js" "$@"
`;

rmSync(staging, { recursive: true, force: true });
mkdirSync(staging, { recursive: true });
run(process.execPath, [join(root, 'runtime', 'build.mjs')]);
const addon = join(root, 'build', 'Release', 'warploom.node');
if (!existsSync(addon)) {
  console.error("bundle: the native addon is not built: 'npm run install' says why");
  process.exit(1);
}
for (const part of ['dist', 'package.json', 'LICENSE', 'README.md'])
  cpSync(join(root, part), join(staging, part), { recursive: true });
mkdirSync(join(staging, 'build', 'Release'), { recursive: true });
copyFileSync(addon, join(staging, 'build', 'Release', 'warploom.node'));
for (const [wanted, folder] of runtimePackages())
  cpSync(folder, join(staging, 'node_modules', wanted), {
    recursive: true,
    filter: (file) => !/\.(map|d\.ts|d\.cts|d\.mts|md)$/.test(file),
  });
await compileTests();
copyFileSync(process.execPath, join(staging, 'node'));
chmodSync(join(staging, 'node'), 0o755);
// Without its symbols Node is a tenth smaller; no tool for that is no harm.
spawnSync('strip', [join(staging, 'node')]);
writeFileSync(join(staging, 'warploom'), launcher);
chmodSync(join(staging, 'warploom'), 0o755);
run('tar', ['-czf', archive, '-C', dirname(staging), name]);
rmSync(staging, { recursive: true, force: true });
const { size } = statSync(archive);
const megabytes = (size / 2 ** 20).toFixed(1);
if (size > mostBytes) {
  console.error(`bundle: ${archive} has ${megabytes} MB, more than 60`);
  process.exit(1);
}
const { arch, platform, version, report } = process;
const glibc = report?.getReport?.().header.glibcVersionRuntime;
console.log(`bundle: ${archive}, ${megabytes} MB: Node ${version} for ${platform} ${arch}${glibc ? `, glibc ${glibc} or later` : ''}
bundle: on the server: tar xzf ${name}.tar.gz && ./${name}/warploom doctor`);
