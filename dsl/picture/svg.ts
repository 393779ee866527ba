// The plan of one head as an SVG picture: queries down, keys to the right. Tiles stand where they are
// computed, packed columns and stand-ins where their keys are; in partial tiles the allowed pairs show.

import { percent } from '../plan/explain.ts';
import { type SummaryOptions, summaryTurns } from '../plan/summary.ts';
import type { UnitPlan } from '../plan/unit.ts';
import { printNumber } from '../print.ts';
import { queryOffset } from '../shape.ts';
import { atOnce, between, partOf, type Turns } from '../turns.ts';
import { coarser, type Grid, gridTurns, type Kind } from './grid.ts';
import { hatch, legendOf, styleOf, type Theme, textAt } from './parts.ts';
import { joinDown, type Region, regionTurns } from './regions.ts';

export interface SvgOptions extends SummaryOptions {
  /** The pattern's name, for the title. */
  readonly title: string;
  /** Side of the plot in pixels at most; 512 unless stated. */
  readonly size?: number;
  /** 'auto' follows the reader's colour scheme. */
  readonly theme?: Theme;
}

const margin = { left: 62, top: 84, right: 18, bottom: 12 };
const font = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif";
/** Shapes in one picture; a plan with more is painted as a grid of cells. */
const mostShapes = 8000;
/** Rectangles of such a grid, about 14 bytes each; with more the cells grow. */
const mostCells = 16_000;

/** Draws one unit. */
export const drawSvg = (plan: UnitPlan, options: SvgOptions): string =>
  atOnce(svgTurns(plan, options));

/** The same in turns. */
export function* svgTurns(plan: UnitPlan, options: SvgOptions): Turns<string> {
  const { size = 512, theme = 'auto', title } = options;
  const sums = summaryTurns(plan, { mostVisits: 2 ** 16, ...options });
  const summary = yield* partOf(sums, 0, 2);
  const { qLen, kLen } = plan.binding.shape;
  const longest = Math.max(1, qLen, kLen);
  // Whole pixels for a pair where they fit, so that short sequences stay crisp.
  const pixels = longest <= size ? Math.floor(size / longest) : size / longest;
  const [width, height] = [Math.max(1, kLen * pixels), Math.max(1, qLen * pixels)];
  const { left, top, right, bottom } = margin;
  const inner = Math.max(width, 400);
  const legend = legendOf(summary, inner);
  const legendTop = top + height + 18;
  const total = [left + inner + right, Math.ceil(legendTop + legend.height + bottom)] as const;
  const values = Object.entries(summary.params)
    .map(([name, value]) => `${name} ${printNumber(value)}`)
    .join(' · ');
  const plotted = yield* partOf(plot(plan, pixels, width, height), 1, 2);
  const whole = summary.against === 'causal' ? 'of the causal pairs' : 'of all pairs';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${total.join(' ')}" width="${total[0]}" height="${total[1]}" role="img" font-family="${font}" font-size="11">`,
    textAt(0, 0, `${title}: what each query tile visits`, { tag: 'title' }),
    `<style>${styleOf(theme)}</style>${hatch}`,
    textAt(left, 24, title, { kind: 'ink', rest: ' font-size="16" font-weight="600"' }),
    textAt(left, 42, values, { kind: 'faint' }),
    textAt(left + inner, 24, `${percent(summary.density)} visited`, {
      kind: 'ink',
      rest: ' font-size="13" font-weight="600" text-anchor="end"',
    }),
    textAt(left + inner, 42, whole, { kind: 'faint', rest: ' text-anchor="end"' }),
    `<g transform="translate(${left} ${top})">`,
    ...plotted,
    ...axes(plan, pixels, width, height),
    '</g>',
    `<g transform="translate(${left} ${legendTop})">`,
    ...legend.items,
    '</g>',
    '</svg>',
    '',
  ].join('\n');
}

const round = (x: number, parts = 100): string => String(Math.round(x * parts) / parts);

/** One rectangle of a path, in pixels. */
const rectangle = (x: number, y: number, width: number, height: number): string =>
  `M${round(x)} ${round(y)}h${round(width)}v${round(height)}h${round(-width)}z`;

const path = (kind: string, d: string, more = ''): string =>
  d === '' ? '' : `<path class="${kind}"${more} d="${d}"/>`;

function* plot(plan: UnitPlan, pixels: number, width: number, height: number): Turns<string[]> {
  const crisp = ' shape-rendering="crispEdges"';
  const parts = [path('paper', rectangle(0, 0, width, height), crisp)];
  const diagonal = diagonalOf(plan, pixels, width, height);
  if (diagonal) parts.push(path('future', `${diagonal}V0H${/M(\S+)/.exec(diagonal)![1]}z`));
  const join = Math.min(plan.qTile, plan.kTile) * pixels < 6;
  const regions = yield* between(regionTurns(plan, { most: mostShapes, join }), 0, 1 / 4);
  const painting = regions ? vector(plan, regions, pixels, join) : painted(plan, pixels);
  const visited = yield* between(painting, 1 / 4, 1);
  parts.push(
    ...visited.map(([kind, d, more]) => (kind === 'rest' ? standIns(d) : path(kind, d, more))),
  );
  if (diagonal) parts.push(path('guide', diagonal, ' fill="none" stroke-dasharray="2 3"'));
  parts.push(path('edge', rectangle(-0.5, -0.5, width + 1, height + 1), ' fill="none"'));
  return parts.filter(Boolean);
}

/** From where k = q enters the plot to where it leaves: the last key that a query sees when causal. */
function diagonalOf(plan: UnitPlan, pixels: number, width: number, height: number): string {
  const offset = queryOffset(plan.binding.shape) * pixels;
  if (width <= 1 || height <= 1) return '';
  // Row r sees keys up to r + offset; the line runs along the right ends of those rows.
  return `M${round(Math.max(0, offset))} ${round(Math.max(0, -offset))}L${round(width)} ${round(height)}`;
}

type Layer = readonly [kind: Kind | 'line', d: string, more: string];

const standIns = (d: string): string =>
  d === '' ? '' : `${path('rest', d, ' fill-opacity=".16"')}${path('hatched', d)}`;

/** Every region as its own shape; where there is room a hairline keeps tiles apart. */
function* vector(
  plan: UnitPlan,
  regions: readonly Region[],
  pixels: number,
  joined: boolean,
): Turns<Layer[]> {
  const crisp = ' shape-rendering="crispEdges"';
  const of = (...wanted: readonly Region['kind'][]): string =>
    regions
      .filter(({ kind }) => wanted.includes(kind))
      .map(({ kind, r0, r1, from, to }) => {
        // A single column among thousands would vanish.
        const wide = Math.max((to - from) * pixels, kind === 'column' ? 1 : 0);
        return rectangle(from * pixels, r0 * pixels, wide, (r1 - r0) * pixels);
      })
      .join('');
  return [
    ['rest', of('rest'), ''],
    ['masked', of('partial'), crisp],
    ['partial', yield* allowed(plan, pixels), crisp],
    ['full', of('full'), crisp],
    ['line', joined ? '' : of('full', 'partial'), ''],
    ['column', of('column'), crisp],
  ];
}

/** The allowed pairs of partial tiles, pair by pair in short sequences, cell by cell in longer ones. */
function* allowed(plan: UnitPlan, pixels: number): Turns<string> {
  const { shares, rows, columns, scale } = yield* gridTurns(plan, 512);
  const regions: Region[] = [];
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      if (shares.partial[row * columns + column]! < 0.5) continue;
      const from = column;
      while (column + 1 < columns && shares.partial[row * columns + column + 1]! >= 0.5)
        column += 1;
      regions.push({ kind: 'partial', r0: row, r1: row + 1, from, to: column + 1 });
    }
  }
  const cell = scale * pixels;
  return joinDown(regions)
    .map(({ r0, r1, from, to }) =>
      rectangle(from * cell, r0 * cell, (to - from) * cell, (r1 - r0) * cell),
    )
    .join('');
}

/** A long plan as cells, as strong as the share of them that is visited. */
function* painted(plan: UnitPlan, pixels: number): Turns<Layer[]> {
  let grid = yield* gridTurns(plan, 512);
  let cells = cellRegions(grid);
  while (count(cells) > mostCells && grid.rows > 64) {
    grid = coarser(grid);
    cells = cellRegions(grid);
  }
  const place = ` shape-rendering="crispEdges" transform="scale(${round(grid.scale * pixels, 1e6)})"`;
  return [...cells].map(([key, regions]): Layer => {
    const [kind, level] = key.split(' ') as [Kind, string];
    const opacity = Number(level) === levels ? '' : ` fill-opacity="${Number(level) / levels}"`;
    const shapes = regions.map(
      ({ r0, r1, from, to }) => `M${from} ${r0}h${to - from}v${r1 - r0}H${from}z`,
    );
    return [kind, shapes.join(''), `${place}${opacity}`];
  });
}

/** Steps of strength in a painted plan. */
const levels = 8;

const count = (cells: ReadonlyMap<string, readonly Region[]>): number =>
  [...cells.values()].reduce((sum, regions) => sum + regions.length, 0);

/** Rectangles of equal strength, by kind and level, in cells. */
function cellRegions({ shares, rows, columns }: Grid): Map<string, Region[]> {
  const layers = new Map<string, Region[]>();
  for (const kind of ['rest', 'column', 'masked', 'partial', 'full'] as const) {
    const strength = Uint8Array.from(shares[kind], (share) => levelOf(kind, share));
    for (let row = 0; row < rows; row += 1) {
      const end = (row + 1) * columns;
      for (let at = row * columns; at < end; ) {
        const level = strength[at]!;
        const start = at;
        while (at < end && strength[at] === level) at += 1;
        if (level === 0) continue;
        const key = `${kind} ${level}`;
        if (!layers.has(key)) layers.set(key, []);
        const [from, to] = [start - row * columns, at - row * columns];
        layers.get(key)!.push({ kind: 'full', r0: row, r1: row + 1, from, to });
      }
    }
  }
  for (const [key, regions] of layers) layers.set(key, joinDown(regions));
  return layers;
}

/** Strength rises faster than the share, so that little is seen too; most of all for narrow columns. */
function levelOf(kind: Kind, share: number): number {
  if (share < 1e-3) return 0;
  const seen = kind === 'column' ? 1.5 * Math.sqrt(share) : share ** 0.7;
  return Math.min(levels, Math.max(kind === 'masked' ? 0 : 1, Math.round(levels * seen)));
}

/** Ticks and names of both axes: positions of keys above, of queries at the left. */
function axes(plan: UnitPlan, pixels: number, width: number, height: number): string[] {
  const { qLen, kLen } = plan.binding.shape;
  const offset = queryOffset(plan.binding.shape);
  const step = tickStep(Math.max(qLen, kLen), Math.max(width, height));
  const ticks = (from: number, to: number): number[] =>
    Array.from(
      { length: Math.max(0, Math.floor((to - from) / step) + 2) },
      (_, i) => (Math.ceil(from / step) + i) * step,
    ).filter((at) => at >= from && at <= to);
  const parts: string[] = [];
  let marksPath = '';
  for (const k of ticks(0, kLen)) {
    marksPath += `M${round(k * pixels)} -4v3`;
    parts.push(
      textAt(k * pixels, -8, tickText(k), { kind: 'faint', rest: ' text-anchor="middle"' }),
    );
  }
  for (const q of ticks(offset, offset + qLen)) {
    marksPath += `M-4 ${round((q - offset) * pixels)}h3`;
    parts.push(
      textAt(-8, (q - offset) * pixels + 3.5, tickText(q), {
        kind: 'faint',
        rest: ' text-anchor="end"',
      }),
    );
  }
  parts.push(path('edge', marksPath, ' fill="none"'));
  parts.push(
    textAt(width / 2, -23, 'key position', { kind: 'faint', rest: ' text-anchor="middle"' }),
  );
  parts.push(
    textAt(-48, height / 2, 'query position', {
      kind: 'faint',
      rest: ` text-anchor="middle" transform="rotate(-90 -48 ${round(height / 2)})"`,
    }),
  );
  return parts;
}

/** A round step, of binary numbers for binary lengths, that gives about one tick per 100 pixels. */
function tickStep(length: number, size: number): number {
  const rough = Math.max(1, length / Math.max(1, size / 100));
  const power = 2 ** Math.floor(Math.log2(rough));
  if (length % power === 0 && length >= 8) return power;
  const ten = 10 ** Math.floor(Math.log10(rough));
  return Math.max(1, [10, 5, 2, 1].map((n) => n * ten).find((n) => n <= rough) ?? ten);
}

const tickText = (n: number): string =>
  Math.abs(n) >= 8192 && n % 1024 === 0 ? `${n / 1024}K` : String(n);
