// What the bench of indices found: its JSON and its table.

import { table } from '../../../runtime/commands/terminal.ts';
import { median } from '../attention/report.ts';
import type { IndexResult } from './stages.ts';

export interface IndexReport {
  readonly device: string;
  readonly date: string;
  readonly results: readonly IndexResult[];
}

const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);

/** One line for each kernel of each work; works that failed say why below. */
export function indexText({ device, date, results }: IndexReport): string {
  const rows = results.flatMap(({ work, stages, workspaceBytes }) =>
    stages.map(({ name, launches, ms }, i) => [
      i === 0 ? work : '',
      name,
      `${launches}`,
      median(ms)!.toFixed(4),
      i === 0 ? megabytes(workspaceBytes) : '',
    ]),
  );
  const failures = results.flatMap(({ work, failure }) =>
    failure === null ? [] : [`${work}: ${failure}`],
  );
  const head = ['', 'kernel', 'launches', 'ms', 'workspace MB'];
  return [`${device}, ${date}`, table([head, ...rows]), ...failures].join('\n');
}
