// All kernels of the built-in patterns for one architecture, and what the compiler says of each as a table:
// the goldens of test/golden. Registers are those of NVRTC 13.0.88; another version gives other numbers.

import { existsSync, readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { choiceName, kernelOf, ofPortable } from '../../codegen/attention/choice.ts';
import { columnsKernel } from '../../codegen/attention/columns.ts';
import { packKernel } from '../../codegen/attention/hopper/packed.ts';
import { hopperArch } from '../../codegen/attention/legal.ts';
import { poolsKernel } from '../../codegen/attention/pools.ts';
import type { AttentionSpec } from '../../codegen/attention/spec.ts';
import { tileCandidates } from '../../codegen/attention/tiles.ts';
import { zonesKernel } from '../../codegen/attention/zones.ts';
import { estimateLaunch } from '../../codegen/estimate/index.ts';
import type { ProductBackend } from '../../codegen/estimate/products.ts';
import type { Kernel } from '../../codegen/kernel.ts';
import { type Definition, traceSets } from '../../dsl/definition.ts';
import { defaultOf, isTensorInput } from '../../dsl/given.ts';
import { patterns } from '../../patterns/index.ts';
import { defaultChoices } from '../../runtime/cuda/candidates.ts';
import { compileKernel } from '../../runtime/cuda/compiler.ts';
import { type KernelRequest, specOf } from '../../runtime/cuda/kernel-request.ts';
import { chooseKernel } from '../../runtime/cuda/kernels.ts';
import type { Machine } from '../../runtime/cuda/machine.ts';
import { findNvrtc } from '../../runtime/cuda/nvrtc.ts';
import { factsOf } from '../../runtime/cuda/report.ts';

/** Architectures, and the most shared memory of a block in bytes. */
export const archs = {
  sm_80: 163 * 1024,
  sm_89: 99 * 1024,
  sm_90: 227 * 1024,
  sm_90a: 227 * 1024,
  sm_100: 227 * 1024,
} as const;
export type Arch = keyof typeof archs;

/** As `chooseKernel` sees a GPU. */
const machineOf = (arch: Arch): Machine =>
  ({
    name: arch,
    arch,
    blockSharedBytes: archs[arch],
    facts: async (kernel: Kernel) => factsOf((await compileKernel(kernel, arch)).report),
  }) as Partial<Machine> as Machine;

function numbersOf({ given }: Definition): Record<string, number> {
  const numbers: Record<string, number> = {};
  for (const [name, entry] of Object.entries(given))
    if (!isTensorInput(entry)) numbers[name] = defaultOf(entry) ?? 1;
  return numbers;
}

export function requestOf(
  definition: Definition,
  dim: number,
  dtype: AttentionSpec['dtype'] = 'bf16',
  group = 1,
): KernelRequest {
  const numbers = numbersOf(definition);
  const graph = traceSets(definition, numbers);
  const shape = { headDim: dim, valueDim: dim, dtype };
  return { definition, numbers, graph, shape, segments: false, group };
}

export interface GoldenKernel {
  /** `a-shape attention 128 bf16` */
  readonly label: string;
  readonly kernel: Kernel;
  /** Of an attention kernel: its back-end and its knobs. */
  readonly choice: string;
}

/** The file of the attention kernel that every machine tries first, at D = 128. */
export function firstKernel(name: string): Kernel {
  const spec = specOf(requestOf(patterns.get(name)!.definition, 128));
  return kernelOf(spec, ofPortable(tileCandidates(128, 128)[0]!)).kernel;
}

/** The file that a Hopper GPU tries first, at D = 128. */
export function firstHopperKernel(name: string): Kernel {
  const request = requestOf(patterns.get(name)!.definition, 128);
  const choices = defaultChoices(request, machineOf(hopperArch));
  const made = choices.map((choice) => kernelOf(specOf(request), choice));
  return made.find(({ problem }) => problem === undefined)!.kernel;
}

/** The attention kernels: all patterns at D = 128, one pattern at others. Each with the tile for the machine. */
export function attentionKernels(arch: Arch): Promise<GoldenKernel>[] {
  const of = async (name: string, dim: number, dtype: AttentionSpec['dtype']) => {
    const request = requestOf(patterns.get(name)!.definition, dim, dtype, 4);
    const { kernel, choice } = await chooseKernel(request, machineOf(arch));
    return { label: `${name} attention ${dim} ${dtype}`, kernel, choice: choiceName(choice) };
  };
  return [
    ...[...patterns.keys()].map((name) => of(name, 128, 'bf16')),
    ...[64, 96, 192, 256].map((dim) => of('a-shape', dim, 'bf16')),
    of('a-shape', 128, 'fp16'),
  ];
}

/** The other kernels: but for the products of estimates they are the same for all architectures. */
export function otherKernels(backend: ProductBackend = 'portable'): GoldenKernel[] {
  const helpers: [string, Kernel][] = [
    ['columns', columnsKernel()],
    ['pools bf16', poolsKernel('bf16')],
    ['pools fp16', poolsKernel('fp16')],
    ['zones int', zonesKernel('int')],
    ['zones float', zonesKernel('float')],
    ['packed columns', packKernel()],
  ];
  const seen = new Map<string, string>();
  const estimating = [...patterns.keys()].filter(
    (name) => patterns.get(name)!.definition.estimates.length > 0,
  );
  // Of long vectors, the kernels that keep most in registers.
  for (const [name, dim] of [
    ...estimating.map((one) => [one, 128] as const),
    ['vertical-slash', 256] as const,
  ]) {
    const title = dim === 128 ? name : `${name} ${dim}`;
    // Kernels that several patterns use stand with the first.
    for (const kernel of estimateKernels(name, dim, backend)) {
      if (seen.has(kernel.source)) continue;
      const taken = [...seen.values()].filter((label) =>
        label.startsWith(`${title} ${kernel.name}`),
      );
      const label = `${title} ${kernel.name}${taken.length > 0 ? ` (${taken.length + 1})` : ''}`;
      seen.set(kernel.source, label);
      helpers.push([label, kernel]);
    }
  }
  return helpers.map(([label, kernel]) => ({ label, kernel, choice: '' }));
}

/** The kernels of the estimate of a built-in pattern. */
function estimateKernels(name: string, dim: number, backend: ProductBackend): readonly Kernel[] {
  const { definition } = patterns.get(name)!;
  const [heads, kvHeads, length] = [32, 8, 32_768];
  const graph = traceSets(definition, numbersOf(definition));
  const strides = [heads * length * dim, length * dim, dim] as const;
  return estimateLaunch({
    graphs: Array.from({ length: heads }, () => graph),
    shape: { batch: 1, heads, kvHeads, qLen: length, kLen: length, headDim: dim, valueDim: dim },
    dtype: 'bf16',
    strides: { q: strides, k: [kvHeads * length * dim, length * dim, dim] },
    backend,
  }).kernels;
}

export interface GoldenRow {
  readonly label: string;
  readonly spillBytes: number;
  readonly sharedBytes: number;
  /** Codes of what the compiler remarks, such as C7510. */
  readonly remarks: readonly string[];
  readonly line: string;
}

/**
 * How often a kernel is compiled until it is as the table has it. ptxas is not deterministic: one of about 60
 * compilations of the same text took 63 registers for 47 (NVRTC 13.0.88, sm_90, alone in its process).
 */
const mostTries = 4;

async function rowOf(golden: GoldenKernel, arch: Arch, attempt: number): Promise<GoldenRow> {
  const { label, kernel, choice } = golden;
  // An unused name, so that neither cache knows the kernel.
  const options = attempt === 0 ? [] : [`--define-macro=ATTEMPT_${attempt}`];
  const { report } = await compileKernel(kernel, arch, { options });
  const { registers, spillStores, spillLoads, staticShared } = report;
  const spillBytes = spillStores + spillLoads;
  const sharedBytes = kernel.sharedBytes + staticShared;
  const remarks = report.remarks.map(({ code }) => code);
  const cells = [label, choice, registers, spillBytes, sharedBytes, remarks.join(' ')];
  return { label, spillBytes, sharedBytes, remarks, line: lineOf(cells) };
}

const widths = [46, 64];

const lineOf = (cells: readonly (string | number)[]): string =>
  cells
    .map((cell, i) => (i < widths.length ? `${cell}`.padEnd(widths[i]!) : `${cell}`.padStart(9)))
    .join('')
    .trimEnd();

const heading = ['# kernel', 'back-end and tile', 'registers', 'spilled', 'shared', 'remarks'];

/** One row a kernel: the tile, registers of a thread, bytes spilled, and bytes of shared memory of a block. */
export async function rowsOf(arch: Arch): Promise<GoldenRow[]> {
  const kept = new URL(`../golden/resources-${arch}.txt`, import.meta.url);
  const known = new Set(existsSync(kept) ? readFileSync(kept, 'utf8').split('\n') : []);
  const tries = known.size === 0 ? 1 : mostTries;
  const all = [
    ...attentionKernels(arch),
    ...otherKernels(arch === hopperArch ? 'hopper' : 'portable'),
  ];
  return Promise.all(
    all.map(async (making) => {
      const one = await making;
      const first = await rowOf(one, arch, 0);
      let row = first;
      for (let i = 1; i < tries && !known.has(row.line); i += 1) row = await rowOf(one, arch, i);
      return known.has(row.line) ? row : first;
    }),
  );
}

/** How to keep a change that is meant. */
export const howToUpdate = 'npx vitest run --config test/vitest.config.ts test/codegen/golden -u';

/** The table as kept in test/golden. */
export const tableOf = (arch: Arch, rows: readonly GoldenRow[]): string =>
  [
    `# ${arch}, NVRTC 13.0.88. After a change that is meant: ${howToUpdate}`,
    lineOf(heading),
    ...rows.map(({ line }) => line),
    '',
  ].join('\n');

/** The tests of one architecture; each has a file of its own, so that they run side by side. */
export function testResources(arch: Arch): void {
  describe(`the kernels for ${arch}`, () => {
    let rows: readonly GoldenRow[] = [];
    beforeAll(async () => {
      rows = await rowsOf(arch);
    }, 240_000);

    it('need the registers and the shared memory of test/golden', async ({ skip }) => {
      const { version } = await findNvrtc();
      skip(version !== '13.0', `NVRTC ${version} gives other numbers than 13.0`);
      await expect(tableOf(arch, rows), howToUpdate).toMatchFileSnapshot(
        `../golden/resources-${arch}.txt`,
      );
    });

    it('have room for all in registers', () => {
      expect(rows.filter(({ spillBytes }) => spillBytes > 0)).toEqual([]);
    });

    it('have no products that wait for each other', () => {
      expect(rows.filter(({ remarks }) => remarks.some((code) => /^C75/.test(code)))).toEqual([]);
    });

    it('fit a block', () => {
      expect(rows.filter(({ sharedBytes }) => sharedBytes > archs[arch])).toEqual([]);
    });
  });
}
