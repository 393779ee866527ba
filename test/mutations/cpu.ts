// Faults of the CPU device: attention and estimates.

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts of source files

import { inFile, type Mutation } from './mutation.ts';

const attention = [
  ...inFile(
    'runtime/cpu/attention.ts',
    ['the output is not rescaled', 'if (factor !== 1) {', 'if (factor > 1) {'],
    ['the sum is not rescaled', 'this.#sum[i]! * factor + sum', 'this.#sum[i]! + sum'],
    ['a stand-in counts once', 'this.#scores[at]! + Math.log(size)', 'this.#scores[at]!'],
    [
      'the last pool has the size of the others',
      'const size = Math.min(pass.size, kLen - from);',
      'const size = pass.size;',
    ],
    ['full tiles have no score', 'visit.full ? full : partial', 'visit.full ? undefined : partial'],
    [
      'values come from the query head',
      'unit.kvHead, from, count, this.#v',
      'unit.head, from, count, this.#v',
    ],
    ['the log-sum has base 2', 'this.#max[i]! + Math.log(sum)', 'this.#max[i]! + Math.log2(sum)'],
    [
      'logits are scaled by the value dim',
      '1 / Math.sqrt(shape.headDim)',
      '1 / Math.sqrt(shape.valueDim)',
    ],
    ['an empty row divides by 0', 'sum === 0 ? 0 : 1 / sum', '1 / sum'],
    [
      'a row of NaN looks empty',
      'if (score > high || Number.isNaN(score)) high = score;',
      'if (score > high) high = score;',
    ],
    ['the mean of the last pool is too small', 'sums[d]! / (to - from)', 'sums[d]! / pass.size'],
    ['a pool stands in when one key is dropped', '.every((x) => x === 0)', '.some((x) => x === 0)'],
  ),
  ...inFile(
    'runtime/cpu/mask.ts',
    ['row 0 of a set is position 0', '(r - ${rowFrom}) * ${stride}', 'r * ${stride}'],
    ['a tensor has one value more', '${arg} < ${shape[axis]}`)', '${arg} <= ${shape[axis]}`)'],
    [
      'packed columns are taken for neighbours',
      'keyAt === undefined ? k0 + j : keyAt[j]',
      'k0 + j',
    ],
  ),
  ...inFile(
    'runtime/cpu/job.ts',
    [
      'the list of heads is ignored',
      'const head = headList[i % headList.length]!;',
      'const head = i % headList.length;',
    ],
    [
      'the last query tile is left out',
      '- Math.floor(queryOffset(shape) / qTile) + 1;',
      '- Math.floor(queryOffset(shape) / qTile);',
    ],
    [
      'stated tiles count from position 0',
      'spans[Math.floor(q0 / qTile) - first]',
      'spans[Math.floor(q0 / qTile)]',
    ],
    [
      'sets of a KV head are counted by query head',
      'perGroup ? batch * shape.kvHeads + kvHead',
      'perGroup ? batch * shape.heads + kvHead',
    ],
  ),
  ...inFile('runtime/cpu/items.ts', [
    'row 0 may be NaN',
    'if (row >= 0 && !bad) {',
    'if (row > 0 && !bad) {',
  ]),
  ...inFile('runtime/cpu/rows.ts', [
    'rows are stored without gaps',
    '(from + i) * strides[2]!',
    '(from + i) * dim',
  ]),
];

const estimate = [
  ...inFile(
    'dsl/estimate/axes.ts',
    [
      'a pool is seen when its first key is',
      'Math.floor((last + 1) / columns.size)',
      'Math.ceil((last + 1) / columns.size)',
    ],
    ['always.last is one block short', 'f - always.last + 1', 'f - always.last + 2'],
    [
      'last(n) is n - 1 queries',
      'Math.max(start, end - node.size)',
      'Math.max(start, end - node.size + 1)',
    ],
    [
      'the last block of a line is lost',
      'Math.floor((end - 1) / size) + 1',
      'Math.floor((end - 1) / size)',
    ],
  ),
  ...inFile(
    'runtime/cpu/estimate/select.ts',
    [
      'forced members do not count',
      'this.#takeLargest(row, candidates, leaf.count - already);',
      'this.#takeLargest(row, candidates, leaf.count);',
    ],
    [
      'ties go to the higher index',
      'let taken = 0;\n    for (let i = 0; i < candidates; i++) {',
      'let taken = 0;\n    for (let i = candidates - 1; i >= 0; i--) {',
    ],
    [
      'above leaves out what equals the share',
      'if (weights[i]! < threshold) continue;',
      'if (weights[i]! <= threshold) continue;',
    ],
    ['cover counts forced members twice', 'leaf.mass * total - got', 'leaf.mass * total'],
    ['negative weights are the largest', '? ~bits >>> 0', '? bits'],
    ['a capacity is never exceeded', 'if (already + taken > leaf.capacity) this.dense = true;', ''],
  ),
  ...inFile('runtime/cpu/estimate/combine.ts', [
    'where takes the other set',
    'verdict ? node.yes : node.no',
    'verdict ? node.no : node.yes',
  ]),
  ...inFile(
    'runtime/cpu/estimate/sinks.ts',
    ['a new maximum does not rescale', ': expOfNegative(exponent);', ': 1;'],
    [
      'distances start at 1',
      'else for (let c = firstColumn; c < end; c++) sums[row - c]! += values[at + c]!;',
      'else for (let c = firstColumn; c < end; c++) sums[row - c + 1]! += values[at + c]!;',
    ],
  ),
  ...inFile(
    'runtime/cpu/estimate/vectors.ts',
    ['cells are summed along the diagonal', 'reversed ? size - 1 - i : i', 'i'],
    ['the mean of a part of a block is too small', '1 / (b - a)', '1 / size'],
    [
      'queries come from the KV head',
      "(of === 'q' ? inputs.head : inputs.kvHead)",
      'inputs.kvHead',
    ],
  ),
  ...inFile('runtime/cpu/estimate/groups.ts', [
    'a group is every other head',
    'kvHead * size + i',
    'kvHead + i * shape.kvHeads',
  ]),
  ...inFile('dsl/estimate/node.ts', [
    'one shared side makes a choice shared',
    'inputs.every(isPerGroup)',
    'inputs.some(isPerGroup)',
  ]),
  ...inFile('dsl/definition.ts', [
    'sizes need not be fixed',
    'changed.sizes !== usual.sizes',
    'changed.steps !== usual.steps',
  ]),
];

export const cpu: readonly Mutation[] = [...attention, ...estimate];
