// The bench of attention. The clock is read on the device; the rivals' half is attention/rivals.py.

import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import { openDevice } from '../../index.ts';
import { exit } from '../../runtime/commands/failure.ts';
import {
  addOnlyOption,
  addRoundOptions,
  deviceOption,
  jsonOption,
  type Program,
  type RoundFlags,
} from '../programs/program.ts';
import { besideLines } from './attention/compare.ts';
import { ourReport, runOurs } from './attention/ours.ts';
import { figureCells, figuresOf, type Result, reportText } from './attention/report.ts';
import { tinyWorks } from './attention/tiny.ts';
import { selectWorks, works } from './attention/works.ts';

interface Flags extends RoundFlags {
  readonly device: string;
  readonly only?: readonly string[];
  readonly quick?: boolean;
  readonly tiny?: boolean;
  readonly check: boolean;
  readonly json?: string;
}

export const program: Program<Flags> = {
  summary: "attention in TFLOP/s, by the device's events in rounds that alternate",
  examples: ['--json ours.json', '--only a-shape sliding --rounds 3', '--tiny --device cpu'],
  addOptions(command: Command) {
    command
      .addOption(deviceOption())
      .option('--quick', 'the short works')
      .option('--tiny', 'every work at a size for the CPU, to see that it is right')
      .option('--no-check', 'compare no rows with the functions of the patterns')
      .addOption(jsonOption());
    addRoundOptions(command, { rounds: 7, roundMs: 400 });
    addOnlyOption(command, works);
  },
  async act(_, { device: name, rounds, roundMs, check, json, ...flags }) {
    const chosen = selectWorks(flags.tiny ? tinyWorks : works, flags);
    const device = await openDevice(name);
    const results: Result[] = [];
    await runOurs(device, chosen, {
      rounds,
      roundMs,
      check,
      onResult(result) {
        results.push(result);
        const figures = figureCells(figuresOf(result, ourReport(device, []).device));
        console.error(result.work, result.failure ?? '', figures.join('  '));
        if (json !== undefined)
          writeFileSync(json, `${JSON.stringify(ourReport(device, results), null, 1)}\n`);
      },
    });
    const report = ourReport(device, results);
    console.log([reportText(report), ...besideLines(report)].join('\n'));
    await device.dispose();
    return results.some(({ failure }) => failure !== null) ? exit.wrong : exit.fine;
  },
};
