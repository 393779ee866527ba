// Where NVRTC may be: the places in the order in which they are looked at, toolkits among them. Nothing here opens it.

import { execFile } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { packageRoot } from '../native.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

/** All of the environment that decides what is found, as one text. */
export const searchKey = (environment: Environment): string =>
  JSON.stringify(
    [
      'WARPLOOM_NVRTC',
      'LD_LIBRARY_PATH',
      'CUDA_HOME',
      'CUDA_PATH',
      'PATH',
      'PYTHONPATH',
      'VIRTUAL_ENV',
    ].map((name) => environment[name]),
  );

/** One place, and what was found there. `libraries` are files, or bare names for the loader. */
export interface Place {
  readonly place: string;
  readonly libraries: readonly string[];
  /** What to say when none of them opens, or there are none. */
  readonly otherwise: string;
}

const isWindows = process.platform === 'win32';
const fileName = isWindows ? /^nvrtc64_\d+_\d+\.dll$/ : /^libnvrtc\.so(\.\d+)*$/;
const shownName = isWindows ? 'nvrtc64_*.dll' : 'libnvrtc.so*';
const loaderNames = isWindows
  ? ['nvrtc64_130_0.dll', 'nvrtc64_120_0.dll']
  : ['libnvrtc.so.13', 'libnvrtc.so.12', 'libnvrtc.so'];
/** Where a toolkit keeps its libraries. */
const toolkitFolders = isWindows ? ['bin/x64', 'bin'] : ['lib64', 'lib'];
/** Where our own tests put an NVRTC that they fetch: below the package, out of version control. */
const ownFolder = join('.warploom', 'nvrtc');

/** The libraries in a folder, the newest version first; none when it cannot be read. */
export function librariesIn(folder: string): string[] {
  return namesIn(folder)
    .filter((name) => fileName.test(name))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((name) => join(folder, name));
}

/** What WARPLOOM_NVRTC names: a file, or a folder that holds one. */
export function namedPlace(setting: string): Place {
  const place = `WARPLOOM_NVRTC=${setting}`;
  let isFolder: boolean;
  try {
    isFolder = statSync(setting).isDirectory();
  } catch {
    return { place, libraries: [], otherwise: 'there is no such file or folder' };
  }
  const libraries = isFolder ? librariesIn(resolve(setting)) : [resolve(setting)];
  return { place, libraries, otherwise: `the folder holds no ${shownName}` };
}

/** Every other place. A lazy sequence: Python is asked only when all before it had none. */
export async function* places(environment: Environment): AsyncGenerator<Place> {
  yield {
    place: "the loader's path",
    libraries: loaderNames,
    otherwise: `no ${loaderNames.join(', ')}`,
  };
  for (const { place, homes } of toolkits(environment))
    yield homes
      ? placeOf(place, librariesOf(homes))
      : { place, libraries: [], otherwise: 'not set' };
  const root = packageRoot();
  if (root !== undefined) yield placeOf(join(root, ownFolder), [join(root, ownFolder)]);
  yield pythonPlace(await pythonFolders(environment));
}

/** Where CUDA toolkits may be. */
export interface ToolkitPlace {
  readonly place: string;
  /** Their folders, the newest first; undefined where nobody names one. */
  readonly homes: readonly string[] | undefined;
}

/** By CUDA_HOME and CUDA_PATH, and where installers put them. */
export function toolkits(environment: Environment): ToolkitPlace[] {
  const named = ['CUDA_HOME', 'CUDA_PATH'].map((name) => {
    const home = environment[name];
    return home ? { place: `${name}=${home}`, homes: [home] } : { place: name, homes: undefined };
  });
  if (isWindows) return named;
  const homes = namesIn('/usr/local')
    .filter((name) => /^cuda(-[\d.]+)?$/.test(name))
    .sort((a, b) => b.localeCompare(a, 'en', { numeric: true }))
    .map((name) => join('/usr/local', name));
  return [...named, { place: '/usr/local/cuda*', homes }];
}

const librariesOf = (homes: readonly string[]): string[] =>
  homes.flatMap((home) => toolkitFolders.map((folder) => join(home, folder)));

function placeOf(place: string, folders: readonly string[]): Place {
  return { place, libraries: folders.flatMap(librariesIn), otherwise: `no ${shownName}` };
}

/** Packages of pip keep libraries in nvidia/<package>/lib, on Windows in its bin. */
function pythonPlace(found: PythonFolders): Place {
  const place = 'the packages of Python';
  if (typeof found === 'string') return { place, libraries: [], otherwise: found };
  const libraries = found
    .map((folder) => join(folder, 'nvidia'))
    .flatMap((folder) => namesIn(folder).map((name) => join(folder, name)))
    .flatMap((folder) =>
      (isWindows ? ['bin', 'bin/x86_64'] : ['lib']).map((lib) => join(folder, lib)),
    )
    .flatMap(librariesIn);
  // cu13 and cuda_nvrtc (12) may both be there.
  libraries.sort((a, b) => versionOf(b) - versionOf(a));
  return { place, libraries, otherwise: `no nvidia/*/lib/${shownName}` };
}

const versionOf = (path: string): number => Number(/(?:\.so\.|nvrtc64_)(\d+)/.exec(path)?.[1] ?? 0);

/** The folders that Python imports from, or why they are not known. */
type PythonFolders = readonly string[] | string;
const asked = new Map<string, Promise<PythonFolders>>();

/** Asks the Python of the path, once for each path. */
function pythonFolders(environment: Environment): Promise<PythonFolders> {
  const key = JSON.stringify([environment.PATH, environment.PYTHONPATH, environment.VIRTUAL_ENV]);
  const answer = asked.get(key) ?? askPython(environment);
  asked.set(key, answer);
  return answer;
}

async function askPython(environment: Environment): Promise<PythonFolders> {
  for (const python of isWindows ? ['python', 'py'] : ['python3', 'python']) {
    try {
      const script = 'import json, sys; print(json.dumps(sys.path))';
      const run = promisify(execFile)(python, ['-c', script], {
        env: { ...environment },
        timeout: 10_000,
        windowsHide: true,
      });
      const folders: unknown = JSON.parse((await run).stdout);
      // The empty one is the working folder.
      if (Array.isArray(folders)) return folders.filter((one) => typeof one === 'string' && one);
    } catch {
      // Not there, or it prints something else: the next name.
    }
  }
  return 'there is no python3 on the path';
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
