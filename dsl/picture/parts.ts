// The small parts of an SVG picture: its colours, texts and legend. What is drawn where is svg.ts.

import { countText, grouped, percent } from '../plan/explain.ts';
import type { UnitSummary } from '../plan/summary.ts';

export type Theme = 'auto' | 'light' | 'dark';

/** Blue is computed, pale blue computed and masked, orange packed, violet stands in. */
export const paints = {
  light: {
    ink: '#1f2933', faint: '#66727f', edge: '#c3cad3', paper: '#eef0f3', future: '#f8f9fa', line: '#ffffff',
    full: '#2f6db5', partial: '#6ba0db', masked: '#cfdff2', column: '#e58a1f', rest: '#8a74c9',
  },
  dark: {
    ink: '#e6e9ed', faint: '#93a0ae', edge: '#3d4754', paper: '#1c232d', future: '#151a21', line: '#12161c',
    full: '#4f8fdc', partial: '#3a6fb0', masked: '#22344c', column: '#f0a244', rest: '#9a86dc',
  },
} as const; // biome-ignore format: a table

type Paint = Record<keyof (typeof paints)['light'], string>;

/** The style sheet: one class per colour. */
export function styleOf(theme: Theme): string {
  const rules = ({ edge, line, ...fills }: Paint): string =>
    [
      ...Object.entries(fills).map(([name, colour]) => `.${name}{fill:${colour}}`),
      `.edge{stroke:${edge}}.guide{stroke:${fills.faint}}.line{fill:none;stroke:${line};stroke-width:.8}`,
      `.stripe{stroke:${fills.rest}}.hatched{fill:url(#hatch)}`,
    ].join('');
  if (theme !== 'auto') return rules(paints[theme]);
  return `${rules(paints.light)}@media (prefers-color-scheme:dark){${rules(paints.dark)}}`;
}

/** The hatching of stand-ins. */
export const hatch =
  '<defs><pattern id="hatch" width="5" height="5" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M1 0v5" class="stripe" stroke-width="1" stroke-opacity=".7"/></pattern></defs>';

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (mark) => `&#${mark.charCodeAt(0)};`);

/** A text element; nothing for empty text. */
export function textAt(
  x: number,
  y: number,
  text: string,
  {
    kind,
    rest = '',
    tag = 'text',
  }: { kind?: 'ink' | 'faint'; rest?: string; tag?: 'text' | 'title' },
): string {
  if (text === '') return '';
  if (tag === 'title') return `<title>${escaped(text)}</title>`;
  const place = `x="${Math.round(x * 10) / 10}" y="${Math.round(y * 10) / 10}"`;
  return `<text ${place} class="${kind ?? 'ink'}"${rest}>${escaped(text)}</text>`;
}

interface Entry {
  readonly swatch: string;
  readonly text: string;
}

const box = 11;
const square = (kind: string, x = 0, width = box): string =>
  `<rect class="${kind}" x="${x}" y="0" width="${width}" height="${box}" rx="1.5"/>`;

/** What the colours mean, with counts, in as many columns as fit `width` pixels. */
export function legendOf(summary: UnitSummary, width: number): { items: string[]; height: number } {
  const { tiles, columnSteps, standIns, standInSteps, passes, walked, queryTiles } = summary;
  const sampled = walked < queryTiles;
  const count = (n: number): string => (sampled ? '~' : '') + countText(n, sampled);
  const entries: Entry[] = [];
  if (tiles.full > 0)
    entries.push({ swatch: square('full'), text: `${count(tiles.full)} full tiles` });
  if (tiles.partial > 0)
    entries.push({
      swatch: `${square('masked')}<path class="partial" d="M0 0v${box}h${box}z"/>`,
      text: `${count(tiles.partial)} partial tiles: allowed, masked`,
    });
  const columns = passes.find(({ kind }) => kind === 'columns')?.size ?? 0;
  if (columnSteps > 0)
    entries.push({
      swatch: `${square('paper')}${square('column', 2, 2.5)}${square('column', 7, 2.5)}`,
      text: `${grouped(columns)} packed columns, ${count(columnSteps)} steps`,
    });
  if (standIns > 0)
    entries.push({
      swatch: `<rect class="rest" fill-opacity=".16" width="${box}" height="${box}" rx="1.5"/><rect class="hatched" width="${box}" height="${box}" rx="1.5"/>`,
      text: `${count(standIns)} stand-ins, ${count(standInSteps)} steps`,
    });
  entries.push({
    swatch: square('paper'),
    text: `not visited: ${percent(1 - summary.density)}`,
  });
  const across = Math.max(1, Math.floor(width / 235));
  const items = entries.map(({ swatch, text }, i) => {
    const [x, y] = [(i % across) * Math.floor(width / across), Math.floor(i / across) * 19];
    return `<g transform="translate(${x} ${y})">${swatch}${textAt(box + 7, 9.5, text, { kind: 'ink' })}</g>`;
  });
  return { items, height: Math.ceil(entries.length / across) * 19 };
}
