// Whole calls held against the dense attention of rivals, from the reports of both.

import { median, type Report } from '../attention/report.ts';
import type { WholeWork } from './works.ts';

/** One line for each work that has a rival's to be held against, where both were timed. */
export function againstLines(reports: readonly Report[], works: readonly WholeWork[]): string[] {
  const msOf = (contender: string, work: string): number | undefined => {
    const found = reports
      .flatMap(({ results }) => results)
      .findLast((one) => one.contender === contender && one.work === work);
    return found && median(found.ms);
  };
  return works.flatMap(({ name, against }) => {
    if (!against) return [];
    const [own, other] = [msOf('warploom', name), msOf(against.rival, against.work)];
    if (own === undefined || other === undefined) return [];
    const ratio = other / own;
    const missed = ratio < against.bar ? '!' : '';
    const times = `${ratio.toFixed(2)} (${against.bar})${missed}`;
    return [`${name}: ${times} times as fast as ${against.rival}, ${against.work}`];
  });
}
