// What whole calls took, as text: medians, ratios, and the bars that they are held to.

import { table } from '../../../runtime/commands/terminal.ts';
import { median } from '../attention/report.ts';
import type { WholeResult } from './run.ts';
import type { WholeWork } from './works.ts';

/** '!' where a bar, in brackets, is missed. */
const held = (value: number, text: string, bar: number | undefined, isMost: boolean): string => {
  if (bar === undefined) return text;
  const isMissed = isMost ? value > bar : value < bar;
  return `${text} (${Number(bar.toFixed(3))})${isMissed ? '!' : ''}`;
};

const milliseconds = (ms: number | undefined): string =>
  ms === undefined ? '-' : ms.toFixed(ms < 10 ? 3 : 1);

/** One line for each result; those that failed say why below. */
export function wholeText(results: readonly WholeResult[], works: readonly WholeWork[]): string {
  const title = [
    '',
    'ms',
    'attention',
    'dense',
    'dense / ms',
    'ms / uniform',
    'host us',
    'dense heads',
    'planted',
    'error',
  ];
  const rows = results.map((one) => {
    const { bars } = works.find(({ name }) => name === one.work)!;
    const [ms, attention, dense] = [one.ms, one.attentionMs ?? [], one.denseMs ?? []].map(median);
    if (ms === undefined) return [one.work, ...title.slice(1).map(() => '-')];
    const ratio = dense === undefined ? undefined : dense / ms;
    const uniform = one.uniformMs === undefined ? undefined : ms / one.uniformMs;
    const { hostMicroseconds: host } = one;
    return [
      one.work,
      held(ms, milliseconds(ms), bars.ms, true),
      milliseconds(attention),
      `${milliseconds(dense)}${one.denseFrom === undefined ? '' : ' (scaled)'}`,
      ratio === undefined ? '-' : held(ratio, ratio.toFixed(3), bars.dense, false),
      uniform === undefined ? '-' : held(uniform, uniform.toFixed(3), bars.uniform, true),
      host === undefined ? '-' : held(host, host.toFixed(1), bars.host, true),
      String(one.denseHeads),
      `${(100 * one.planted).toFixed(1)} %`,
      one.error ? one.error.out.toExponential(1) : '-',
    ];
  });
  const failures = results.flatMap(({ work, failure }) =>
    failure === null ? [] : [`${work}: ${failure}`],
  );
  return [table([title, ...rows]), ...failures].join('\n');
}
