// npm's install step: builds the native addon by cmake-js. A failed build never fails the install:
// the CPU device then runs its plain TypeScript products, and build/install.log says why.

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const native = dirname(fileURLToPath(import.meta.url));
const root = join(native, '..', '..');
const build = join(root, 'build');
const addon = join(build, 'Release', 'warploom.node');
const stampFile = join(build, 'install.stamp');
const logFile = join(build, 'install.log');

/** What the addon is made of: its sources and the Node that it is built for. */
function stamp() {
  const hash = createHash('sha256');
  const sources = readdirSync(native, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  for (const file of [join(root, 'CMakeLists.txt'), ...sources]) {
    hash.update(file.slice(root.length)).update('\0').update(readFileSync(file)).update('\0');
  }
  const { platform, arch, versions } = process;
  return `${hash.digest('hex')} ${platform}-${arch} abi-${versions.modules}\n`;
}

function isUpToDate() {
  return existsSync(addon) && existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp();
}

/** Runs Node; its output and whether it succeeded. npm may have left this node off the path. */
function run(args, environment) {
  const path = `${dirname(process.execPath)}${delimiter}${process.env.PATH ?? ''}`;
  const done = spawnSync(process.execPath, args, {
    cwd: root,
    encoding: 'utf8',
    env: { ...process.env, PATH: path, ...environment },
    maxBuffer: 1 << 28,
  });
  const output = `$ node ${args.join(' ')}\n${done.stdout ?? ''}${done.stderr ?? ''}`;
  return { ok: done.status === 0, log: done.error ? `${output}error: ${done.error}\n` : output };
}

/** cmake-js fetches Node's headers unless it is told of a copy: most installations have one. */
function headers() {
  if (process.env.npm_config_nodedir) return {};
  const prefix = join(dirname(process.execPath), '..');
  return existsSync(join(prefix, 'include', 'node', 'node_api.h'))
    ? { npm_config_nodedir: prefix }
    : {};
}

function compile() {
  const cmakeJs = require.resolve('cmake-js/bin/cmake-js');
  const include = dirname(require.resolve('node-addon-api/package.json'));
  // From scratch: a cache of another Node's headers would outlive a plain build.
  return run([cmakeJs, 'rebuild', '-d', root, `--CDNODE_ADDON_API=${include}`], headers());
}

/** In a process of its own: a crash must not end the install. */
function tryOut() {
  const script = `
    const [best] = require(${JSON.stringify(addon)}).products;
    const out = new Float32Array(1);
    best.scores(Float32Array.of(2, 3), Float32Array.of(5, 7), out, 1, 1, 2, 1, 1);
    if (out[0] !== 31) throw new Error('the ' + best.name + ' product is wrong: ' + out[0]);
    console.log('tile products: ' + best.name);`;
  return run(['-e', script], {});
}

/** The line of the log that says most: the first that speaks of an error. */
function cause(log) {
  // CMake puts the place on one line, which ends with '(command):', and the reason below it.
  const lines = log
    .split('\n')
    .map((line) => line.replace(/^(ERR!|ERROR) (OMG )?/, '').trim())
    .filter((line) => line !== '');
  const at = lines.findIndex((line) =>
    /\berror\b|not found|not available|cannot|failed/i.test(line),
  );
  const line = lines[at] ?? 'unknown';
  return /\(\w+\):$/.test(line) ? `${lines[at + 1] ?? ''} ${lines[at + 2] ?? ''}`.trim() : line;
}

function main() {
  if (process.env.WARPLOOM_SKIP_ADDON === '1') {
    console.log('warploom: the native addon is skipped (WARPLOOM_SKIP_ADDON=1)');
    return;
  }
  if (isUpToDate()) return;
  let log = '';
  for (const step of [compile, tryOut]) {
    const done = step();
    log += done.log;
    if (!done.ok) {
      report(log, cause(done.log));
      return;
    }
  }
  mkdirSync(build, { recursive: true });
  writeFileSync(logFile, log);
  writeFileSync(stampFile, stamp());
  console.log(`warploom: built the native addon (${log.match(/tile products: (\w+)/)?.[1]})`);
}

function report(log, reason) {
  console.warn(`warploom: the native addon was not built: ${reason}
warploom: the CPU device works without it, with slower products in plain TypeScript
warploom: to fix it, install cmake and a C++17 compiler (g++ or clang++), then run
warploom: 'npm rebuild warploom' ('npm run install' in the repository); log: ${logFile}`);
  mkdirSync(build, { recursive: true });
  writeFileSync(logFile, log);
}

try {
  main();
} catch (error) {
  // A read-only folder or a missing cmake-js is no reason to fail either.
  try {
    report(String(error?.stack), String(error?.message).split('\n')[0]);
  } catch (second) {
    console.warn(`warploom: ${second.message}`);
  }
}
