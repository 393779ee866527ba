// Faults of the language: lifting, analysis, plans.

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts of source files

import { inFile, type Mutation } from './mutation.ts';

const lift = [
  ...inFile(
    'dsl/lift/expressions.ts',
    [
      '<= is lifted as <',
      "'<=': { is: 'compare', name: 'le' }",
      "'<=': { is: 'compare', name: 'lt' }",
    ],
    [
      '> keeps its sides',
      "'>': { is: 'compare', name: 'lt', swap: true }",
      "'>': { is: 'compare', name: 'lt' }",
    ],
    [
      '&& is lifted as ||',
      "operator.name === 'and' ? and : or",
      "operator.name === 'or' ? and : or",
    ],
    ['!0 is false', 'bool(!Number(operand.text), span)', 'bool(!!Number(operand.text), span)'],
    [
      '2^31 counts as int32',
      'value >= -(2 ** 31) && value < 2 ** 31',
      'value >= -(2 ** 31) && value <= 2 ** 31',
    ],
  ),
  ...inFile(
    'dsl/lift/calls.ts',
    [
      'trunc of a quotient is a floor',
      "if (name === 'floor') return binary('floordiv', a, b, span);",
      "if (name !== 'ceil') return binary('floordiv', a, b, span);",
    ],
    [
      'ceil forgets a sign',
      "binary('floordiv', unary('neg', a, a.span), b, span)",
      "binary('floordiv', a, b, span)",
    ],
    [
      'recursion is not seen',
      'if (context.active.has(target.node)) {',
      'if (context.active.size > 40) {',
    ],
  ),
  ...inFile('dsl/lift/statements.ts', [
    'the arms of if are exchanged',
    'return select(condition, a, b, spanOf(node));',
    'return select(condition, b, a, spanOf(node));',
  ]),
  ...inFile('dsl/lift/members.ts', [
    'too few indices pass',
    'if (args.length !== wanted) {',
    'if (args.length > wanted) {',
  ]),
  ...inFile(
    'dsl/lift/rules.ts',
    ['a divisor may be 0', 'if (lo > 0 || hi < 0) continue;', 'if (lo >= 0 || hi < 0) continue;'],
    [
      'doubles pass as float32',
      'if (Object.is(Math.fround(value), value)) return;',
      'if (Number.isFinite(value)) return;',
    ],
  ),
  ...inFile('dsl/lift/thrown.ts', [
    'steps of an estimate are the author of what they refuse',
    '!file.startsWith(own)',
    'file.startsWith(own)',
  ]),
  ...inFile('dsl/lift/objects.ts', [
    'an enum does not count on',
    '(value.value as number) + 1 : undefined',
    '(value.value as number) : undefined',
  ]),
  ...inFile('dsl/lift/verify.ts', [
    'function and lifted form may differ',
    'if (sameResult(result, lifted) || isRounding(result, lifted)) continue;',
    'if (lifted !== undefined) continue;',
  ]),
  ...inFile(
    'dsl/given.ts',
    ['an exclusive bound is one too low', 'lo = Math.floor(lo) + 1', 'lo = Math.floor(lo)'],
    ['every head gets the number of head 0', ': value[head]!,', ': value[0]!,'],
  ),
];

const analysis = [
  ...inFile(
    'dsl/analysis/interval.ts',
    ['< is always true where the ends meet', '(a.hi >= b.lo ? 1 : 0)', '(a.hi > b.lo ? 1 : 0)'],
    ['<= is never true where the ends meet', '(a.lo <= b.hi ? 2 : 0)', '(a.lo < b.hi ? 2 : 0)'],
    ['=== is always true where ranges meet', '(same ? 0 : 1)', '(meet ? 0 : 1)'],
    [
      '|x| of both signs does not reach 0',
      'a.lo <= 0 && a.hi >= 0 ? 0 : Math.min',
      'a.lo < 0 && a.hi < 0 ? 0 : Math.min',
    ],
    ['a remainder misses its largest value', 'largest - 1 : largest', 'largest - 2 : largest'],
    [
      'a remainder has one period',
      'if (sameSign && period === Math.trunc(a.hi / m))',
      'if (sameSign)',
    ],
    [
      'a sum keeps q - k with the wrong sign',
      "form.k + shared, env.index('k'))",
      "form.k - shared, env.index('k'))",
    ],
    [
      'one side decides an and',
      'a === always && b === always ? always',
      'a === always || b === always ? always',
    ],
    [
      'a select of bools is what both arms say',
      '(truthOf(node.args[1], env) | truthOf',
      '(truthOf(node.args[1], env) & truthOf',
    ],
    ['NaN is forgotten by comparisons', "if (nan) truth |= name === 'ne' ? 2 : 1;", ''],
    ['the complement of a range keeps its order', 'bounds(~a.hi, ~a.lo)', 'bounds(~a.lo, ~a.hi)'],
  ),
  ...inFile(
    'dsl/analysis/formula.ts',
    [
      'a < b becomes a <= b',
      'negated ? atMost(b, a, 0) : atMost(a, b, 1)',
      'negated ? atMost(b, a, 0) : atMost(a, b, 0)',
    ],
    [
      'the negation of a <= b keeps equality',
      'negated ? atMost(b, a, 1) : atMost(a, b, 0)',
      'negated ? atMost(b, a, 0) : atMost(a, b, 0)',
    ],
    [
      'not (a and b) is not a and not b',
      "(node.op === 'and') === negated ? 'or' : 'and'",
      'node.op',
    ],
    [
      '|x| <= b is one of two bounds',
      "return join('and', [atMost(a.args[0], b, gap)",
      "return join('or', [atMost(a.args[0], b, gap)",
    ],
    [
      'max(x, y) <= b is min(x, y) <= b',
      "a.name === 'max' ? 'and' : 'or'",
      "a.name === 'max' ? 'or' : 'and'",
    ],
    [
      'a coefficient rounds the wrong way',
      'constant: -Math.floor(-c / scale)',
      'constant: -Math.ceil(-c / scale)',
    ],
    ['a === b is half of it', "join('and', [atMost(a, b, 0), atMost(b, a, 0)])", 'atMost(a, b, 0)'],
  ),
  ...inFile(
    'dsl/analysis/possible.ts',
    [
      'a band loses its edge',
      'else box.d0 = Math.max(box.d0, constant);',
      'else box.d0 = Math.max(box.d0, constant + 1);',
    ],
    [
      'halving loses the middle key',
      '[low.k1, high.k0] = [middle, middle + 1]',
      '[low.k1, high.k0] = [middle, middle + 2]',
    ],
    ['a witness outside the band', 'k: Math.max(box.k0, box.q1 - box.d1),', 'k: box.k0,'],
    [
      'no budget is a no',
      'if (state.left <= 0) return undecided;\n  state.left -= 1;\n  const atoms',
      'if (state.left <= 0) return refuted;\n  state.left -= 1;\n  const atoms',
    ],
    [
      'no budget for atoms is a no',
      'if (state.left <= 0) return undecided;\n  state.left -= 1;\n  if',
      'if (state.left <= 0) return refuted;\n  state.left -= 1;\n  if',
    ],
    ['tried in vain is a proof', '(state.holdsNowhere && isPair(box))', 'state.holdsNowhere'],
  ),
  ...inFile('dsl/analysis/box.ts', [
    'closing cuts off a row',
    'if (box.k0 + box.d0 > box.q0) box.q0 = box.k0 + box.d0;',
    'if (box.k0 + box.d0 > box.q0) box.q0 = box.k0 + box.d0 + 1;',
  ]),
  ...inFile(
    'dsl/analysis/specialise.ts',
    [
      'x * 0 is x',
      "if (b === 0 && node.name === 'sub') return node.args[0];",
      'if (b === 0) return node.args[0];',
    ],
    ['a constant condition takes the other arm', 'node.args[c ? 1 : 2]', 'node.args[c ? 2 : 1]'],
    [
      'rows count from position 0',
      "fold(binary('sub', index('q', part.span), int(offset), part.span))",
      "index('q', part.span)",
    ],
  ),
  ...inFile(
    'dsl/analysis/zones.ts',
    [
      'the last zone is ignored',
      'let perRow = Math.ceil(size / leaf);',
      'let perRow = Math.floor(size / leaf);',
    ],
    [
      '0 outside the tensor is forgotten',
      'return [Math.min(low, 0), Math.max(high, 0)];',
      'return [low, high];',
    ],
  ),
  ...inFile('dsl/analysis/overflow.ts', [
    '2^31 is no overflow',
    'hi > limit - 1 ? node',
    'hi > limit ? node',
  ]),
  ...inFile('dsl/analysis/linear.ts', [
    'a - b is a + b',
    'visit(part.args[1], -factor);',
    'visit(part.args[1], factor);',
  ]),
  ...inFile(
    'dsl/chosen.ts',
    ['dilation is one too wide', 'runs[i + 1]! + size - 1', 'runs[i + 1]! + size'],
    ['counts are one short', '& ((1 << rest) - 1)', '& ((1 << (rest - 1)) - 1)'],
    [
      'a run is one too long',
      'result.push(start, w * 32 + bit);',
      'result.push(start, w * 32 + bit + 1);',
    ],
    ['the last run is lost', 'if (start >= 0) result.push(start, columns);', ''],
    ['every row is any row', "over === 'any' ? word | other : word & other", 'word | other'],
  ),
  ...inFile(
    'dsl/shape.ts',
    ['queries start at 0', 'shape.kLen - shape.qLen;', '0 * shape.qLen;'],
    [
      'KV heads are dealt out in turn',
      'Math.floor(head / (shape.heads / shape.kvHeads));',
      'head % shape.kvHeads;',
    ],
  ),
];

const plan = [
  ...inFile(
    'dsl/plan/spans.ts',
    ['a slash ends one key early', '[first - hi, last - lo + 1]', '[first - hi, last - lo]'],
    [
      'a diagonal starts one key late',
      '[lo - last, hi - first + 1]',
      '[lo - last + 1, hi - first + 1]',
    ],
    [
      'some row for every row',
      'negated ? [bounds!.hi, bounds!.lo] : [bounds!.lo, bounds!.hi]',
      '[bounds!.lo, bounds!.hi]',
    ],
    [
      'the last block of a run is lost',
      '(last + 1) * argument.block - argument.shift',
      'last * argument.block - argument.shift',
    ],
    ['rows outside a set have all members', 'r0 >= rowFrom && r1 < rowFrom + rows;', 'true;'],
    [
      'a union forgets the longer span',
      'result[result.length - 1] = Math.max(result.at(-1)!, pairs[i + 1]!);',
      'result[result.length - 1] = pairs[i + 1]!;',
    ],
  ),
  ...inFile(
    'dsl/plan/walk.ts',
    [
      'a tile goes past its span',
      'const end = Math.min(at + kTile, to);\n    if (stretch',
      'const end = at + kTile;\n    if (stretch',
    ],
    [
      'a tile goes past the keys',
      'Math.min(kLen, Math.ceil(spans[i + 1]! / kTile) * kTile)',
      'Math.ceil(spans[i + 1]! / kTile) * kTile',
    ],
    [
      'the last pool is lost',
      'to === kLen ? pass.pools : Math.floor(to / pass.size)',
      'Math.floor(to / pass.size)',
    ],
    [
      'a tile that may be refused is sure',
      'for (; at < Math.min(to, unsure',
      'for (; at + kTile < Math.min(to, unsure',
    ],
    ['a partial tile is full', "push(at, end, seen === 'full')", 'push(at, end, true)'],
    [
      'descending is ascending',
      "plan.order === 'descending' ? visits.reverse() : visits",
      'visits',
    ],
  ),
  ...inFile(
    'dsl/plan/judge.ts',
    [
      'an unknown stretch is skipped',
      "if (brief) return this.#ask(wanted, from, to, budget) === 'no';",
      "if (brief) return this.#ask(wanted, from, to, budget) !== 'yes';",
    ],
    ['a pair of other keys counts', 'return k >= from && k < to;', 'return k >= from;'],
    [
      'what few boxes leave open is open',
      "if (soon !== 'unknown') return soon === 'no';",
      "return soon === 'no';",
    ],
  ),
  ...inFile('dsl/plan/needed-keys.ts', [
    'the first column of a span is lost',
    'set.count(0, spans[i]!, spans[i + 1]!)',
    'set.count(0, spans[i]! + 1, spans[i + 1]!)',
  ]),
  ...inFile(
    'dsl/plan/unit.ts',
    ['a first tile starts before the queries', 'Math.max(queryOffset(shape), start)', 'start'],
    [
      'the last partial pool is lost',
      'pools: Math.ceil(kLen / size)',
      'pools: Math.floor(kLen / size)',
    ],
  ),
  ...inFile(
    'dsl/plan/split.ts',
    ['columns count what tiles have', 'columns: fold(and(a, fold(not(b))))', 'columns: a'],
    ['future keys have stand-ins', "fold(and(chain('and', plain), lost))", 'lost'],
  ),
  ...inFile('dsl/plan/coverage.ts', [
    'key 0 may be missed',
    'complement(visited, 0, kLen)',
    'complement(visited, 1, kLen)',
  ]),
  ...inFile('dsl/combine.ts', [
    'the default is no part of a meaning',
    '`with default ${value}`',
    "'with a default'",
  ]),
];

export const dsl: readonly Mutation[] = [...lift, ...analysis, ...plan];
