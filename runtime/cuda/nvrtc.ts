// NVRTC: found, opened once, asked to compile. Where it may be is search.ts, what its log means is
// report.ts and refusal.ts, and keeping what it makes is cache.ts.

import { DeviceError, diagnostic, type Note } from '../../dsl/diagnostic.ts';
import { addonExports, addonStatus } from '../native.ts';
import { refusal } from './refusal.ts';
import { type Environment, namedPlace, type Place, places, searchKey } from './search.ts';

/** The native face: runtime/native/nvrtc/face.h. */
interface NativeNvrtc {
  readonly path: string;
  readonly major: number;
  readonly minor: number;
  /** Compute capabilities, 10 * major + minor. */
  readonly architectures: readonly number[];
  compile(source: string, name: string, options: readonly string[]): Promise<NativeCompilation>;
}

interface NativeCompilation {
  readonly status: number;
  readonly reason: string;
  readonly log: string;
  readonly cubin: Uint8Array;
  readonly ptx: string;
}

interface Face {
  openNvrtc(path: string): Promise<NativeNvrtc>;
}

/** What to compile: CUDA C that includes nothing, with entry points that are `extern "C"`. */
export interface CompileRequest {
  readonly source: string;
  /** What errors call the source. */
  readonly name: string;
  /** A real architecture: `sm_80`, `sm_90a`. */
  readonly arch: string;
  /** Options of NVRTC, one a string. */
  readonly options?: readonly string[];
}

export interface CompiledSource {
  /** Machine code for the one architecture. */
  readonly cubin: Uint8Array;
  readonly ptx: string;
  readonly log: string;
}

const install =
  'pip install nvidia-cuda-nvrtc, or set WARPLOOM_NVRTC to libnvrtc.so.* or its folder';

/** An NVRTC that is loaded. */
export class Nvrtc {
  readonly path: string;
  /** `13.0` */
  readonly version: string;
  /** What it compiles for, without the suffixes that some have: `sm_80`, `sm_90`. */
  readonly architectures: readonly string[];
  readonly #native: NativeNvrtc;

  constructor(native: NativeNvrtc) {
    this.path = native.path;
    this.version = `${native.major}.${native.minor}`;
    this.architectures = native.architectures.map((one) => `sm_${one}`);
    this.#native = native;
  }

  /**
   * Compiles on a thread of Node's pool. Throws DeviceError R010 for an architecture that this NVRTC does
   * not know, R011 for a source that it refuses, R009 when a part of NVRTC is missing.
   */
  async compile({ source, name, arch, options = [] }: CompileRequest): Promise<CompiledSource> {
    this.#check(arch);
    const path = `${name}.cu`;
    const all = [`--gpu-architecture=${arch}`, '--std=c++17', ...this.#ownOptions(), ...options];
    const { status, reason, log, cubin, ptx } = await this.#native.compile(source, path, all);
    if (status === 0) return { cubin, ptx, log };
    // A suffix that the architecture does not have: sm_80a.
    if (/invalid .*arch/.test(log)) throw this.#unknown(arch);
    if (reason === 'NVRTC_ERROR_BUILTIN_OPERATION_FAILURE') {
      throw new DeviceError([
        diagnostic('R009', `a part of NVRTC is missing: ${log.trim() || reason}`, {
          notes: [{ what: `NVRTC ${this.version} is ${this.path}` }],
          help: `install all of it: ${install}`,
        }),
      ]);
    }
    throw refusal({ name, path, source, log, reason });
  }

  /**
   * From 13 on NVRTC has a cache of its own, and what it takes from there comes without a report. Without the declarations of
   * a runtime that kernels do not call it takes a twentieth less.
   */
  #ownOptions(): readonly string[] {
    return Number.parseInt(this.version, 10) >= 13 ? ['--no-cache', '--minimal'] : [];
  }

  #check(arch: string): void {
    const [, base] = /^(sm_\d+)[af]?$/.exec(arch) ?? [];
    if (base === undefined || !this.architectures.includes(base)) throw this.#unknown(arch);
  }

  #unknown(arch: string): DeviceError {
    const known = this.architectures.join(', ');
    return new DeviceError([
      diagnostic('R010', `NVRTC ${this.version} does not know the architecture '${arch}'`, {
        notes: [{ what: `it knows ${known}` }, { what: `it is ${this.path}` }],
        help: 'for a newer GPU: pip install --upgrade nvidia-cuda-nvrtc',
      }),
    ]);
  }
}

const found = new Map<string, Nvrtc>();

/**
 * The NVRTC of this machine, by the environment: WARPLOOM_NVRTC and nothing else where that is set, else
 * the first that opens. Throws DeviceError R009, with every place that was looked at.
 */
export async function findNvrtc(environment: Environment = process.env): Promise<Nvrtc> {
  const setting = environment.WARPLOOM_NVRTC;
  const key = searchKey(environment);
  const known = found.get(key);
  if (known) return known;
  const nvrtc = await (setting ? openNamed(setting) : openFirst(places(environment)));
  found.set(key, nvrtc);
  return nvrtc;
}

function nativeFace(): Face {
  const status = addonStatus();
  const { openNvrtc } = (status.loaded && addonExports<Face>()) || {};
  if (openNvrtc) return { openNvrtc };
  const reason = status.reason ?? 'it was built from older sources';
  throw new DeviceError([
    diagnostic('R009', `NVRTC is called by the native addon, which is not there: ${reason}`, {
      help: "'warploom doctor' says how to build it",
    }),
  ]);
}

async function openNamed(setting: string): Promise<Nvrtc> {
  const { nvrtc, note } = await open(namedPlace(setting));
  if (nvrtc) return nvrtc;
  throw new DeviceError([
    diagnostic('R009', `WARPLOOM_NVRTC names no NVRTC: '${setting}'`, {
      notes: [note],
      help: 'name libnvrtc.so.* or its folder, or unset it to have NVRTC looked for',
    }),
  ]);
}

/** The first NVRTC of these places that opens. Throws DeviceError R009, with what each place had. */
export async function openFirst(all: AsyncIterable<Place> | Iterable<Place>): Promise<Nvrtc> {
  const notes: Note[] = [];
  for await (const place of all) {
    const { nvrtc, note } = await open(place);
    if (nvrtc) return nvrtc;
    notes.push(note);
  }
  const what = 'NVRTC, the run-time compiler of CUDA, is not there';
  const help = `${install}; or run 'warploom compile' where one is: its kernels need none`;
  throw new DeviceError([diagnostic('R009', what, { notes, help })]);
}

/** The first library of a place that opens, or what to say of the place. */
async function open({ place, libraries, otherwise }: Place) {
  const face = nativeFace();
  let reason: string | undefined;
  for (const library of libraries) {
    try {
      return { nvrtc: new Nvrtc(await face.openNvrtc(library)), note: { what: place } };
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      // That the loader does not know a bare name is no news.
      if (!/No such file|error 126/.test(text)) reason ??= text;
    }
  }
  return { nvrtc: undefined, note: { what: `${place}: ${reason ?? otherwise}` } };
}
