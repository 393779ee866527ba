// The bench of online indices. Planted heads (examples/planted) have budgets of their own for every head.

import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { plantHeads } from '../../examples/planted/heads.ts';
import { type Device, openDevice } from '../../index.ts';
import { exit, UsageError } from '../../runtime/commands/failure.ts';
import {
  addOnlyOption,
  addRoundOptions,
  deviceOption,
  jsonOption,
  type Program,
  type RoundFlags,
  worksNamed,
} from '../programs/program.ts';
import { Inputs } from './attention/inputs.ts';
import { median } from './attention/report.ts';
import { type IndexReport, indexText } from './estimate/report.ts';
import { type IndexCall, type IndexResult, timeWork } from './estimate/stages.ts';
import { graphsOf, type IndexWork, tinyWorks, works } from './estimate/works.ts';
import { plantedOn } from './planted.ts';

interface Flags extends RoundFlags {
  readonly device: string;
  readonly only?: readonly string[];
  readonly tiny?: boolean;
  readonly planted?: boolean;
  readonly json?: string;
}

export const program: Program<Flags> = {
  summary: "online indices in milliseconds, kernel by kernel, by the device's events",
  examples: ['--json index.json', '--only vertical --planted', '--tiny --device emulated:sm_90a'],
  addOptions(command: Command) {
    command
      .addOption(deviceOption())
      .option('--planted', 'planted heads, with budgets of their own, not random tensors')
      .option('--tiny', 'every work at a size for the emulator, to see that it runs')
      .addOption(jsonOption());
    addRoundOptions(command, { rounds: 7, roundMs: 20 });
    addOnlyOption(command, works);
  },
  async act(_, { device: name, only, tiny, planted = false, json, ...rounds }) {
    const chosen = worksNamed(tiny ? tinyWorks : works, only);
    const device = await openDevice(name);
    if (device.kind === 'cpu')
      throw new UsageError('the CPU has no kernels to time', '--device cuda, or emulated:sm_90a');
    const results: IndexResult[] = [];
    const reportOf = (): IndexReport => ({
      device: device.description,
      date: new Date().toISOString(),
      results,
    });
    const inputs = new Inputs(device);
    for (const work of chosen) {
      try {
        const call = await (planted ? plantedCall(device, work) : randomCall(inputs, work));
        results.push(await timeWork(device, work, call, rounds));
        if (planted) for (const tensor of [call.q, call.k]) tensor.dispose();
      } catch (error) {
        const failure = error instanceof Error ? error.message.split('\n')[0]! : String(error);
        results.push({ work: work.name, stages: [], workspaceBytes: 0, failure });
      }
      await inputs.release();
      const { stages, failure } = results.at(-1)!;
      console.error(work.name, failure ?? `${median(stages[0]!.ms)!.toFixed(3)} ms`);
      if (json !== undefined) writeFileSync(json, `${JSON.stringify(reportOf(), null, 1)}\n`);
    }
    console.log(indexText(reportOf()));
    await device.dispose();
    return results.some(({ failure }) => failure !== null) ? exit.wrong : exit.fine;
  },
};

async function randomCall(inputs: Inputs, work: IndexWork): Promise<IndexCall> {
  const { batch, heads, kvHeads, qLen, kLen, headDim } = work.shape;
  const q = await inputs.tensor('q', [batch, heads, qLen, headDim], 'bf16');
  const k = await inputs.tensor('k', [batch, kvHeads, kLen, headDim], 'bf16');
  return { q, k, graphs: graphsOf(work) };
}

async function plantedCall(device: Device, work: IndexWork): Promise<IndexCall> {
  const { heads, kvHeads, qLen, kLen, headDim } = work.shape;
  const planted = plantHeads({ heads, kvHeads, length: kLen, qLen, headDim });
  const { q, k, v } = await plantedOn(device, planted, 'bf16');
  v.dispose();
  return { q, k, graphs: graphsOf(work, planted.params) };
}
