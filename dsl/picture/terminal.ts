// The plan of one head as text: half blocks in 24-bit colour, or shades without colour. Queries down,
// keys to the right, about 64 characters wide. What a screen can show is for the caller to know.

import { countText, grouped, percent } from '../plan/explain.ts';
import { type SummaryOptions, summaryTurns, type UnitSummary } from '../plan/summary.ts';
import type { UnitPlan } from '../plan/unit.ts';
import { printNumber } from '../print.ts';
import { queryOffset } from '../shape.ts';
import { atOnce, partOf, type Turns } from '../turns.ts';
import { type Grid, gridTurns } from './grid.ts';

export interface TerminalOptions extends SummaryOptions {
  /** The pattern's name. */
  readonly title: string;
  /** Width of the screen in characters; 80 unless stated. */
  readonly columns?: number;
  /** 24-bit colour; on unless stated. */
  readonly colour?: boolean;
}

/** Characters across the plot at most. */
const widest = 64;

type Colour = readonly [red: number, green: number, blue: number];
/** Middle tones that read on black and on white: where little of a cell is used, and where all is. */
const colours: Record<Winner['kind'], readonly [Colour, Colour]> = {
  tile: [[136, 158, 188], [47, 122, 214]],
  column: [[214, 164, 104], [230, 138, 30]],
  rest: [[172, 160, 208], [138, 112, 206]],
}; // biome-ignore format: a table

/** What a cell shows: the kind that covers most of it, and how strongly, from 0 to 1. */
interface Winner {
  readonly kind: 'tile' | 'column' | 'rest';
  readonly strength: number;
}

/** Draws one unit; lines without a trailing newline. */
export const drawTerminal = (plan: UnitPlan, options: TerminalOptions): string =>
  atOnce(terminalTurns(plan, options));

/** The same in turns. */
export function* terminalTurns(plan: UnitPlan, options: TerminalOptions): Turns<string> {
  const { title, columns = 80, colour = true } = options;
  const { shape } = plan.binding;
  const offset = queryOffset(shape);
  const labels = [String(offset), String(offset + shape.qLen)];
  const gutter = Math.max(...labels.map((label) => label.length)) + 1;
  const sums = summaryTurns(plan, { mostVisits: 2 ** 16, ...options });
  const summary = yield* partOf(sums, 0, 2);
  const cells = Math.max(8, Math.min(widest, columns - gutter - 3));
  const grid = yield* partOf(gridTurns(plan, cells), 1, 2);
  const lines = colour ? colouredLines(grid) : shadedLines(grid);
  const keys = String(shape.kLen);
  const pad = ' '.repeat(gutter);
  const values = Object.entries(summary.params).map(
    ([name, value]) => `${name} ${printNumber(value)}`,
  );
  const whole =
    summary.against === 'causal' ? 'of the causal pairs visited' : 'of all pairs visited';
  return [
    [title, values.join(', ')].filter(Boolean).join('  '),
    `${percent(summary.density)} ${whole}`,
    `${pad} 0${keys.padStart(Math.max(keys.length + 1, grid.columns - 1))}`,
    `${pad}┌${'─'.repeat(grid.columns)}┐`,
    ...lines.map((line, i) => {
      const label = i === 0 ? labels[0]! : i === lines.length - 1 ? labels[1]! : '';
      return `${label.padStart(gutter - 1)} │${line}│`;
    }),
    `${pad}└${'─'.repeat(grid.columns)}┘`,
    ...legendLines(summary, colour).map((line) => `${pad} ${line}`),
  ].join('\n');
}

function winnerAt(
  { shares, columns, rows }: Grid,
  row: number,
  column: number,
): Winner | undefined {
  if (row >= rows) return undefined;
  const at = row * columns + column;
  const used = shares.full[at]! + shares.partial[at]!;
  // A whole tile may be masked away in this cell, and a single column is thin: both are to be seen.
  const found: [Winner['kind'], number, number][] = [
    ['tile', used + 0.3 * shares.masked[at]!, used],
    ['column', 1.5 * Math.sqrt(shares.column[at]!), 1.5 * Math.sqrt(shares.column[at]!)],
    ['rest', 0.3 * shares.rest[at]!, shares.rest[at]!],
  ];
  const [kind, weight, strength] = found.sort((a, b) => b[1] - a[1])[0]!;
  return weight < 0.02 ? undefined : { kind, strength: Math.min(1, strength) };
}

const ansi = (code: string): string => `\u001b[${code}m`;
const reset = ansi('0');

function colourOf({ kind, strength }: Winner): string {
  const [weak, strong] = colours[kind];
  return weak.map((part, i) => Math.round(part + (strong[i]! - part) * strength)).join(';');
}

/** Two rows of cells a line: the upper one in the foreground, the lower one behind it. */
function colouredLines(grid: Grid): string[] {
  const lines: string[] = [];
  for (let row = 0; row < grid.rows; row += 2) {
    let line = '';
    let before = '';
    for (let column = 0; column < grid.columns; column += 1) {
      const [above, below] = [winnerAt(grid, row, column), winnerAt(grid, row + 1, column)];
      const [front, back] = above ? [above, below] : [below, undefined];
      const style = front
        ? ansi(`0;38;2;${colourOf(front)}${back ? `;48;2;${colourOf(back)}` : ''}`)
        : reset;
      if (style !== before) line += style;
      before = style;
      line += above ? '▀' : below ? '▄' : ' ';
    }
    lines.push(line + reset);
  }
  return lines;
}

const shades = ['░', '▒', '▓', '█'];

/** Two rows of cells a character: the stronger of them. */
function shadedLines(grid: Grid): string[] {
  const lines: string[] = [];
  for (let row = 0; row < grid.rows; row += 2) {
    let line = '';
    for (let column = 0; column < grid.columns; column += 1) {
      const [first, second] = [winnerAt(grid, row, column), winnerAt(grid, row + 1, column)];
      line += markOf(!first || (second && second.strength > first.strength) ? second : first);
    }
    lines.push(line);
  }
  return lines;
}

function markOf(winner: Winner | undefined): string {
  if (!winner) return ' ';
  if (winner.kind === 'column') return '╎';
  return winner.kind === 'rest' ? '·' : shades[Math.min(3, Math.floor(winner.strength * 4))]!;
}

function legendLines(
  { tiles, columnSteps, standIns, passes, walked, queryTiles }: UnitSummary,
  colour: boolean,
): string[] {
  const sampled = walked < queryTiles;
  const count = (n: number): string => (sampled ? '~' : '') + countText(n, sampled);
  const mark = (winner: Winner): string =>
    colour ? `${ansi(`38;2;${colourOf(winner)}`)}█${reset}` : markOf(winner);
  const parts = [
    `${mark({ kind: 'tile', strength: 1 })} ${count(tiles.full)} full tiles`,
    `${mark({ kind: 'tile', strength: 0.4 })} ${count(tiles.partial)} partial`,
  ];
  if (columnSteps > 0) {
    const keys = passes.find(({ kind }) => kind === 'columns')?.size ?? 0;
    parts.push(`${mark({ kind: 'column', strength: 1 })} ${grouped(keys)} packed columns`);
  }
  if (standIns > 0)
    parts.push(`${mark({ kind: 'rest', strength: 1 })} ${count(standIns)} stand-ins`);
  return [parts.join('   ')];
}
