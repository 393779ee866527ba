// Reports of the benches of attention and of whole calls, and of the rivals, beside each other.

import { UsageError } from '../../runtime/commands/failure.ts';
import { readText } from '../../runtime/files/bytes.ts';
import type { Program } from '../programs/program.ts';
import { compareText } from './attention/compare.ts';
import { type Report, reportSchema } from './attention/report.ts';
import { againstLines } from './end-to-end/against.ts';
import { wholeWorks } from './end-to-end/works.ts';

export const program: Program = {
  summary: 'reports side by side, with ratios and the bars that we hold ourselves to',
  operands: '<reports...>',
  examples: ['ours.json rivals.json', 'whole.json rivals.json'],
  addOptions() {},
  async act(files) {
    const [first, ...others] = await Promise.all(files.map(readReport));
    const reports = [first!, ...others] as const;
    console.log([compareText(reports), ...againstLines(reports, wholeWorks)].join('\n'));
    return 0;
  },
};

async function readReport(file: string): Promise<Report> {
  const parsed = reportSchema.safeParse(dataOf(await readText(file)));
  if (parsed.success) return parsed.data;
  throw new UsageError(`'${file}' is no report`, 'name files that --json of a bench has written');
}

function dataOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
