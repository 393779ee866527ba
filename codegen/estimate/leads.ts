// The leads of a probe: what diagonals have in a part of the keys when they began in the part before. A kernel adds them to
// the sums per distance, or the first launch that reads these does. Device side: device/estimate-leads.cuh.

import type { Kernel } from '../kernel.ts';
import type { Field, FieldValues } from '../struct.ts';
import { at, type Place } from './launches.ts';
import type { ReadingPlan } from './passes.ts';
import type { Pass, SumPlace } from './places.ts';
import { probeQueries } from './probe-feed.ts';
import { address, kernelOf } from './text.ts';

/** The leads of the query heads of a wave, [query heads, parts, 64]. */
export interface Leads {
  /** The sums per distance. */
  readonly reading: ReadingPlan;
  readonly place: Place;
  /** The position of the first query. */
  readonly row: number;
  /** Keys of a part. */
  readonly part: number;
  readonly parts: number;
}

/**
 * Whether one selection alone reads the sums per distance, in a launch that counts first: it then adds the leads, and no
 * launch has to for their sake.
 */
export function isReadOnce(reading: ReadingPlan, { pass, kernels }: Pass): boolean {
  const { want, kept, selections } = reading;
  const readings = pass.readings.filter((one) => one.want.keep === want.keep);
  const isPlain = readings.length === 1 && want.pool === undefined && kept === undefined;
  return isPlain && selections.length === 1 && !!kernels.readings.get(reading)!.count[0];
}

/** Those of the query heads of a wave from `before` on. */
export const leadsFrom = ({ place, parts }: Leads, before: number): Place =>
  at(place.buffer, place.offset + 4 * before * parts * probeQueries);

export const leadFields: readonly Field[] = [
  { name: 'lead_row', type: 'i32', comment: 'the position of the first query' },
  { name: 'lead_part', type: 'i32', comment: 'keys of a part' },
];

/** Of no leads, numbers that add none. */
export const leadArguments = (leads: Leads | undefined): FieldValues => ({
  lead_row: leads?.row ?? 0,
  lead_part: leads?.part ?? 1,
});

/** A statement: adds to sums of the distances from `from` to `to` their leads, of one query head. */
export const addLeadsText = (
  leads: string,
  parts: string,
  distances: string,
  from: string,
  to: string,
): string =>
  `add_leads<${probeQueries}>({${leads}, p.lead_row, p.lead_part, ${parts}}, ${distances}, ${from}, ${to});`;

/** Parts of which a block of the kernel adds the leads at once. */
const partsOfLaunch = 16;

/** grid: [distances / (partsOfLaunch parts), query heads]. */
function leadsKernel(): Kernel {
  return kernelOf({
    name: 'estimate_probe_leads',
    about: [
      'Adds what the diagonals that go on in the next part of the keys have there:',
      `leads [query heads, parts, ${probeQueries}] to sums [query heads, distance_stride].`,
    ],
    primitives: ['estimate-leads'],
    fields: [
      address('leads', 'const float*'),
      address('distances', 'float*'),
      { name: 'distance_stride', type: 'i32' },
      { name: 'parts', type: 'i32' },
      { name: 'key_end', type: 'i32' },
      ...leadFields,
    ],
    threads: partsOfLaunch * probeQueries,
    body: [
      `const int from = blockIdx.x * ${partsOfLaunch} * p.lead_part, to = min(from + ${partsOfLaunch} * p.lead_part, p.key_end);`,
      addLeadsText(
        `p.leads + (i64)blockIdx.y * p.parts * ${probeQueries}`,
        'p.parts',
        'p.distances + (i64)blockIdx.y * p.distance_stride',
        'from',
        'to',
      ),
    ],
  });
}

/** Adds leads to the sums of a wave. */
export function addLeads(leads: Leads, { sums, stride, units }: SumPlace, all: Pass): void {
  const { part, parts } = leads;
  const { end } = all.pass.grid.columns;
  all.launches.launch(
    leadsKernel(),
    [Math.ceil(end / (partsOfLaunch * part)), units.to - units.from, 1],
    { ...leadArguments(leads), distance_stride: stride, parts, key_end: end },
    { leads: leads.place, distances: sums },
  );
}
