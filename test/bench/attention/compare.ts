// Reports side by side. A ratio is our rate over the rival's: above 1 we are ahead; '!' where it misses the bar
// that works.ts states, which is in brackets.

import { table } from '../../../runtime/commands/terminal.ts';
import {
  failureLines,
  figureCells,
  figuresOf,
  headText,
  type Report,
  type Result,
} from './report.ts';
import { type Work, works } from './works.ts';

/** The first contender of the first report beside all others, in its order of works. */
export function compareText(
  reports: readonly [Report, ...Report[]],
  list: readonly Work[] = works,
): string {
  const [first] = reports;
  const ours = first.results[0]?.contender;
  const found = reports.flatMap(({ device, results }) =>
    results.map((result) => ({ ...result, figures: figuresOf(result, device) })),
  );
  const rivals = [...new Set(found.map(({ contender }) => contender))].filter(
    (contender) => contender !== ours,
  );
  const preparing = rivals.filter((rival) =>
    found.some((one) => one.contender === rival && one.preparationMs !== null),
  );
  const resultOf = (work: string, contender: string | undefined) =>
    found.findLast((one) => one.work === work && one.contender === contender);
  const names = [...new Set(found.map(({ work }) => work))];
  const rows = names.map((work) => {
    const own = resultOf(work, ours);
    const bars = list.find(({ name }) => name === work)?.bars ?? {};
    return [
      work,
      ...figureCells(own?.figures),
      ...rivals.flatMap((rival) => {
        const other = resultOf(work, rival);
        return [
          other?.figures?.teraflops.toFixed(1) ?? '-',
          ratioText(own?.figures?.ms, other?.figures?.ms, bars[rival]),
        ];
      }),
      ...preparing.map((rival) => preparationText(resultOf(work, rival))),
    ];
  });
  const title = [
    ours ?? '',
    'ms',
    'TFLOP/s',
    'MHz',
    'of peak',
    ...rivals.flatMap((rival) => [rival, 'ratio']),
    ...preparing.map((rival) => `${rival} mask ms`),
  ];
  return [...reports.map(headText), table([title, ...rows]), ...reports.flatMap(failureLines)].join(
    '\n',
  );
}

/** Works of one report whose rates have to reach those of others in it. */
export function besideLines({ device, results }: Report, list: readonly Work[] = works): string[] {
  // Of one operation: rates are compared, whatever their pairs.
  const timeOf = (name: string) => {
    const found = results.find(({ work }) => work === name);
    const figures = found && figuresOf(found, device);
    return figures && 1 / figures.teraflops;
  };
  return list.flatMap(({ name, beside }) => {
    const [own, other] = [timeOf(name), beside && timeOf(beside.work)];
    if (own === undefined || other === undefined) return [];
    return [`${name}: ${ratioText(own, other, beside!.bar)} of the rate of ${beside!.work}`];
  });
}

function ratioText(ours?: number, theirs?: number, bar?: number): string {
  const wanted = bar === undefined ? '' : ` (${Number(bar.toFixed(3))})`;
  if (ours === undefined || theirs === undefined) return `-${wanted}`;
  const ratio = theirs / ours;
  return `${ratio.toFixed(3)}${wanted}${bar !== undefined && ratio < bar ? '!' : ''}`;
}

const preparationText = (result: Result | undefined): string =>
  result?.preparationMs?.toFixed(1) ?? '-';
