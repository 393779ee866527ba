// Deliberate faults in what decides which rows of sets are computed, in what calls of given sets share, and in what is
// read from files of heads and of sets. The list of all is list.ts.

import { inFile } from './mutation.ts';

export const heads = [
  ...inFile(
    'dsl/analysis/relevance.ts',
    ['sets have no members', "return asks ? { op: 'true' } : formula;", "return asks ? { op: 'false' } : formula;"],
    [
      'a set only adds pairs',
      "join('and', [formulaOf(held, true), formulaOf(missed)].map(withAnySets)),",
      "join('and', [formulaOf(held), formulaOf(missed, true)].map(withAnySets)),",
    ],
    ['the last row is left out', '{ from: lo, to: hi + 1 }', '{ from: lo, to: hi }'],
    ['the first queries are skipped', 'if (may(low, middle)) high = middle;', 'if (may(low, middle)) low = middle + 1;'],
    ['captured tensors hold nothing', "if (mentions(mask, 'at')) return undefined;", "if (mentions(mask, 'at')) return [];"],
  ),
  ...inFile(
    'dsl/plan/reach.ts',
    ['a lack is out of reach', 'return not(boundOf(node.args[0], !isUpper));', 'return not(same(node.args[0]));'],
    ['one arm alone is within reach', 'and(not(boundOf(asked, !isUpper)), same(no))', 'and(not(same(asked)), same(no))'],
  ),
  ...inFile(
    'dsl/estimate/needed.ts',
    ['one set decides for all', 'known && range && hullOf([known, range])', 'known && range && known'],
    ['sums need the rows of others', 'if (!first?.rows || ranges.length < readings.length)', 'if (!first?.rows || ranges.length === 0)'],
    ['rows of any size are cut alike', 'rows?.size !== first.rows!.size', 'rows?.size === 0'],
    ['the last rows of scores are left out', 'Math.floor(lastPosition(first.rows, to - 1) / size) + 1', 'Math.floor(lastPosition(first.rows, to - 1) / size)'],
  ),
  ...inFile(
    'patterns/minference/entries.ts',
    ['budgets may leave int32', '.max(0x7fffffff)', '.max(0xffffffff)'],
    ['a missing head is the usual one', 'if (options.heads !== undefined || layer >= found.length) return usual;', 'return usual;'],
  ),
  ...inFile('runtime/cuda/calls.ts', ['calls of sets with more members share what has room for fewer', '[domain, perGroup, most]', '[domain, perGroup]']),
  ...inFile('patterns/minference/index.ts', ['both budgets are the first', '= budgets[i]!', '= budgets[0]!']),
  ...inFile(
    'runtime/files/chosen.ts',
    ['units begin at one row', '(own.rowFrom - domain.rowFrom) * stride', '0 * stride'],
    ['bits behind the last column pass', 'bits[last]! >>> rest !== 0', 'bits[last]! >>> rest < 0'],
  ),
]; // biome-ignore format: a table
