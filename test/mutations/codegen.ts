// Deliberate faults of generated code: the search for keys, the judgement of tiles, the attention kernel and
// its helpers. Each is executed on the CPU; that a text changed is not enough, so goldens do not count.

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts of source files

import { inFile, type Mutation } from './mutation.ts';

const analysis = [
  ...inFile(
    'codegen/keys.ts',
    [
      'distances are looked for up to the key that the last query has at one',
      'clamp_int((i64)rest.lo - ${most})',
      'clamp_int((i64)rest.lo + 2048 - ${most})',
    ],
    [
      'keys end before the last query',
      '`  high = min(high, q1 - (${rest}));`',
      '`  high = min(high, q0 - (${rest}));`',
    ],
    [
      'keys start at the last query',
      '`  low = max(low, q0 + ${rest});`',
      '`  low = max(low, q1 + ${rest});`',
    ],
    ['a bound at 0 fails', '`q0 + ${rest} > 0`', '`q0 + ${rest} >= 0`'],
    ['a mask of the next key too ends at its query', 'part.constant >= 0,', 'part.constant >= -1,'],
    [
      'or is the key of its last part',
      'found = min(found, ${part}(u, q0, q1, k, ${sooner}));',
      'found = ${part}(u, q0, q1, k, ${sooner});',
    ],
    [
      'a member gives its last key',
      'clamp_int((i64)found - rest.hi)',
      'clamp_int((i64)found - rest.lo)',
    ],
    [
      'members are sought from too low on',
      'clamp_int((i64)rest.hi - k)',
      'clamp_int((i64)rest.lo - k)',
    ],
    ['a block starts late', '(i64)found * ${block} - ${shift}', '(i64)found * ${block} + ${shift}'],
    [
      'rows are positions',
      "binary('sub', index('q'), binary('sub',",
      "binary('sub', index('q'), binary('add',",
    ],
  ),
  ...inFile(
    'codegen/bounds.ts',
    ['row is q', "'bounds_sub(q, bounds_of(u.offset))'", "'q'"],
    ['min is max', "min: 'bounds_min',", "min: 'bounds_max',"],
    ["'not equal' is 'equal'", '`truth_not(${same})` : same', '`${same}` : same'],
  ),
  ...inFile('codegen/expression.ts', [
    'integers are compared as float32',
    "node.args.some(widensInteger) ? 'double' : 'float'",
    "node.args.some(widensInteger) ? 'float' : 'float'",
  ]),
  ...inFile('codegen/device/integers.cuh', [
    'quotients round to zero',
    '(a % b != 0 && (a < 0) != (b < 0) ? 1 : 0)',
    '0',
  ]),
  ...inFile(
    'codegen/device/bounds.cuh',
    ['less is certain at the edge', 'a.hi >= b.lo}; }', 'a.hi > b.lo}; }'],
    [
      'at most is impossible at the edge',
      '{a.lo <= b.hi, a.hi > b.lo}; }',
      '{a.lo < b.hi, a.hi > b.lo}; }',
    ],
    ['NaN is comparable', 'a.hi > b.lo || a.nan || b.nan}', 'a.hi > b.lo}'],
    [
      'a difference of equal ends',
      '(i64)a.lo - b.hi, (i64)a.hi - b.lo',
      '(i64)a.lo - b.lo, (i64)a.hi - b.hi',
    ],
    [
      'rests are not negative',
      'const i64 lo = a.lo >= 0 ? 0 : max(-most, (i64)a.lo)',
      'const i64 lo = 0',
    ],
  ),
  ...inFile(
    'codegen/device/sets.cuh',
    ['a set with some has all', 'missing |= ~bits & asked', 'missing |= 0u & asked'],
    [
      'the last bit of a range is left out',
      '>> (word * 32 + 31 - to);',
      '>> (word * 32 + 31 - to + (to > 0 ? 1 : 0));',
    ],
    ['backwards is forwards', 'return (last - owner) * 32 + 31', 'return (last + owner) * 32 + 31'],
    ['a set has all beyond its rows', 'rows.lo != r0 || rows.hi != r1 || ', ''],
  ),
  ...inFile(
    'codegen/device/tensors.cuh',
    ['the largest value is not looked at', 'max(found.hi, known.y)}', 'found.hi}'],
    ['there is nothing outside', 'if (from < 0 || to >= size) found = bounds_of(0);', ''],
    ['a zone has no NaN', 'found.nan || unsure}', 'found.nan}'],
  ),
  ...inFile(
    'codegen/attention/walk.ts',
    ['the last tile is full', 'there && !truth.may_not && whole', 'there && !truth.may_not'],
    [
      'a tile is left out after 32',
      "'  walk.next = walk.base + 32 * k_tile;'",
      "'  walk.next = walk.base + 33 * k_tile;'",
    ],
    [
      'keys are passed over of which some are allowed',
      'walk.base += (__ffs(wide) - 1) * wide_keys;',
      'walk.base += __ffs(wide) * wide_keys;',
    ],
    [
      'a pool without its last key is dropped',
      'for (int k = from; k <= to; ++k)',
      'for (int k = from; k < to; ++k)',
    ],
  ),
];

const attention = [
  ...inFile('codegen/attention/elements.ts', [
    'keys beyond the end are seen',
    'endsAtQuery(mask) ? allowed : isThere + allowed;',
    'endsAtQuery(mask) ? allowed : allowed;',
  ]),
  ...inFile('codegen/attention/hopper/stand-ins.ts', [
    'pools are judged by the first ones of the step',
    'at + i * 32);',
    'at);',
  ]),
  ...inFile('codegen/attention/hopper/distances.ts', [
    'the last box of a round is taken in the next as well',
    'is_there && (ends || place < last)',
    'is_there && (ends || place <= last)',
  ]),
  ...inFile('codegen/attention/hopper/walker.ts', [
    'the counter begins at the tile of the first block',
    '(int)gridDim.x + atomicAdd(p.counter, 1)',
    'atomicAdd(p.counter, 1)',
  ]),
  ...inFile(
    'codegen/attention/hopper/control.ts',
    [
      'a step of boxes is told to be plain by the first box alone',
      '(whole & needed) == needed',
      '(whole & 1u) != 0u',
    ],
    [
      'the first step of a tile is plain where its second box has keys that nobody asks for',
      "'(what & PIECE_AS_THEY_ARE) != 0u ? 3u : asks & 3u | 1u'",
      "'asks & 3u | 1u'",
    ],
  ),
  ...inFile('codegen/attention/hopper/consumer.ts', [
    'the first weights of a tile are for the values of its first box',
    "mixed ? '0' : 'box'",
    "'0'",
  ]),
  ...inFile('codegen/attention/hopper/reads.ts', [
    'the keys of a box that is kept whole are read where nobody told them',
    'some >> i & 1u ? held_keys',
    'asked >> i & 1u ? held_keys',
  ]),
  ...inFile('codegen/attention/hopper/step.ts', [
    'the first key at the end of a run is kept',
    'column == 0 ? asked >> 6 : 0u',
    '0u',
  ]),
  ...inFile(
    'codegen/attention/hopper/compose.ts',
    [
      'nobody arrives for boxes that a piece lacks',
      'place == 0 ? 1 + slot_boxes - writers : 1;',
      '1;',
    ],
    [
      'the second warpgroup loses the box that stands beside the first ones of a tile',
      'if (returns) own.asked = 2u',
      'if (returns) own.asked = 0u',
    ],
    [
      'pieces are written before their place is empty',
      'if (writes) barrier_wait(c.piece_empty',
      'if (false) barrier_wait(c.piece_empty',
    ],
  ),
  ...inFile(
    'codegen/attention/hopper/rounds.ts',
    [
      'a list ends a round too early',
      'ends = base + boxes * box_keys >= entries',
      'ends = base + 2 * boxes * box_keys >= entries',
    ],
    [
      'boxes end a round too early',
      'ends = none || next >= u.k_len;`\n    : ',
      'ends = true;`\n    : ',
    ],
  ),
  ...inFile('codegen/attention/hopper/blocks.ts', [
    'a walk that ends without members does not tell it',
    'from < all || (is_last && from == 0)',
    'from < all',
  ]),
  ...inFile('codegen/attention/hopper/copier.ts', [
    'words that the second warpgroup alone needs are not handed on',
    '& 0x030303u)',
    '& 0x010101u)',
  ]),
  ...inFile('codegen/attention/scores.ts', [
    'pools weigh as one key',
    '        s[i][j][e] += more;\n',
    '',
  ]),
  ...inFile(
    'codegen/attention/softmax.ts',
    ['the scale is forgotten', '`p.scale * ${literal(', '`${literal('],
    ['a sum is not rescaled', '      sum[i][1] *= factor[i][1];\n', ''],
    [
      'outputs are not rescaled',
      'out[i][j][e] *= factor[i][e >> 1]',
      'out[i][j][e] *= factor[i][0]',
    ],
    [
      'an empty row is NaN',
      'checked && now == NEGATIVE_INFINITY ? 0.f : now * scale',
      'now * scale',
    ],
    [
      'weights of the second half go nowhere',
      'sum[i][e >> 1] += s[i][j][e];',
      'sum[i][0] += s[i][j][e];',
    ],
  ),
  ...inFile(
    'codegen/attention/exponent.ts',
    [
      'a bias is not in units of the exponent',
      '...(bias ? [times(bias, log2OfE)] : [])',
      '...(bias ? [bias] : [])',
    ],
    ['a slope is in units of the exponent', "binary('div', slope, factor)", 'slope'],
    [
      'a reference is subtracted twice',
      'return binary(node.name, lessReference(a), b);',
      'return binary(node.name, lessReference(a), lessReference(b));',
    ],
  ),
  ...inFile(
    'codegen/attention/steps.ts',
    [
      'all keys of a lane have the bias of the first',
      "return binary(keySign(distance)! > 0 ? 'add' : 'sub', first, more);",
      'return first;',
    ],
    ['a steep slope is rounded like a gentle one', 'real(mostSlope)', 'real(1e9)'],
    ['a steep slope counts twice', 'select(staysIn, slope, real(0))', 'slope'],
    [
      'a slope of a product is of what the product becomes',
      "binary('div', term.slope, own.factor)",
      'term.slope',
    ],
    [
      'what is subtracted is added',
      'inner.push([a!, factor], [b!, minus()])',
      'inner.push([a!, factor], [b!, factor])',
    ],
  ),
  ...inFile(
    'codegen/attention/distance.ts',
    ['terms of one sign are a distance', 'one.sign < 0 && ', ''],
    ['all slopes are alike', 'textOf(one) === textOf(other)', 'true'],
    [
      'what is negated keeps its sign',
      'termsOf(node.args[0], other)',
      'termsOf(node.args[0], sign)',
    ],
  ),
  ...inFile(
    'codegen/attention/linear.ts',
    [
      'what is subtracted slopes as if added',
      "node.name === 'add' ? signOfKey(b) : opposite(signOfKey(b))",
      'signOfKey(b)',
    ],
    [
      'what is negated keeps its slope',
      "scaled('mul', node.args[0], real(-1))",
      "scaled('mul', node.args[0], real(1))",
    ],
    [
      'any factor scales a slope',
      'uniforms.isUniform(factor) ? slopeOf(inner, uniforms) : undefined',
      'slopeOf(inner, uniforms)',
    ],
  ),
  ...inFile(
    'codegen/attention/hopper/ramp.ts',
    ['a slope loses its last bits', 'pair == 1 ? 2.f * low : 0.f', '0.f'],
    ['a part of a slope has a share of its column', 'pair == 1 ? -middle', 'pair == 1 ? 0.f'],
    ['a ramp is of packed keys as well', "kind === 'tiles'", "kind !== 'rest'"],
  ),
  ...inFile(
    'codegen/attention/tanh.ts',
    [
      'a polynomial is taken too far',
      'times(most, inverse(square))',
      'times(times(real(4), most), inverse(square))',
    ],
    ['a coarse polynomial may be off by anything', '(mostError / error) ** 2', '1e12'],
    ['what is no term is coarse', 'found.every(({ isTerm }) => isTerm)', 'found.length > 0'],
    [
      'coefficients may be infinite',
      "compare('lt', last, real(1e30))",
      "compare('lt', real(1e-30), last)",
    ],
  ),
  ...inFile(
    'codegen/attention/hopper/small-scores.ts',
    ['the least of the large arguments decides', '= max(highest[${i}], ', '= min(highest[${i}], '],
    [
      'the middle polynomial is taken of what the longest is for',
      '(range) => `if (${areSmall(limitsOf(range))})',
      '(range) => `if (${areSmall(limitsOf(longest))})',
    ],
    [
      'some lanes with small arguments are enough',
      '`__all_sync(FULL_WARP',
      '`__any_sync(FULL_WARP',
    ],
    [
      'a group is small when the next one is',
      "look('      ', 'first', end)",
      "look('      ', end, end)",
    ],
    ['steps that begin a task are scored twice', '  } else {\n${look', '  }\n  {\n${look'],
    [
      'the shortest polynomial is for what the longest is for',
      '{${limits.map((limit) =>',
      '{${rangesOf(small).at(-1)!.limits.map((limit) =>',
    ],
    ['negative arguments are not looked at', 'lowest & 0x7fffffffu', '0u'],
    ['positive arguments are not looked at', 'max((u32)highest, ', 'max(0u, '],
  ),
  ...inFile(
    'codegen/attention/hopper/softmax.ts',
    [
      'scores relative to references that have moved are taken for scores relative to 0',
      'origin[half] -= before[half];',
      'origin[half] -= 0.f;',
    ],
    [
      'scores of careful steps stay relative to 0',
      's[0][j][e] -= origin[e >> 1];',
      's[0][j][e] -= 0.f;',
    ],
    [
      'a row that has seen nothing is relative to nothing',
      'reference[half] == NEGATIVE_INFINITY ? 0.f : reference[half];\n  }`;',
      'reference[half];\n  }`;',
    ],
    [
      'weights forget what a tile has beside its products',
      'base[${half}] - origin[${half}]',
      '-origin[${half}]',
    ],
    [
      'references forget what a tile has beside its products',
      " + base[half]' : ''",
      " + 0.f' : ''",
    ],
  ),
  ...inFile('codegen/attention/results.ts', [
    'the log-sum forgets the maximum',
    'highest[i][half] * scale * 0.6931471805599453f + __logf(total)',
    '__logf(total)',
  ]),
  ...inFile(
    'codegen/attention/portable/main.ts',
    [
      'copies of V are not waited for',
      "${apply.length > 0 ? '\\n' : ''}    copy_wait<2 * (stages - 1)>();\n",
      "${apply.length > 0 ? '\\n' : ''}",
    ],
    [
      'copies of K are not waited for',
      '    copy_wait<2 * (stages - 1)>();\n    __syncthreads();\n    copy_v(',
      '    __syncthreads();\n    copy_v(',
    ],
    ['warps do not meet before K is replaced', '    __syncthreads();\n    copy_k(', '    copy_k('],
  ),
  ...inFile(
    'codegen/unit.ts',
    ['KV heads are shared by turns', 'u.head / (p.heads / p.kv_heads)', 'u.head % p.kv_heads'],
    [
      'all heads have the numbers of the first',
      'p.params + (i64)u.head * p.params_stride',
      'p.params',
    ],
    [
      'sets of all batch entries are those of the first',
      "'u.batch * p.heads + u.head'",
      "'u.head'",
    ],
  ),
  ...inFile(
    'codegen/attention/launch.ts',
    ['tiles count from row 0', 'Math.floor(queryOffset(shape) / queriesOf(knobs))', '0'],
    ['numbers of heads overwrite each other', '[head * names.length + i]', '[i]'],
  ),
  ...inFile('codegen/attention/columns.ts', [
    'a member takes the place of the next',
    'int at = before + sum - own;',
    'int at = before + sum - own + (lane == 31);',
  ]),
  ...inFile(
    'codegen/attention/pools.ts',
    ['the last pool is as large as the others', 'sum / (to - from)', 'sum / p.size'],
    ['means are summed in single precision', 'double sum = 0.;', 'float sum = 0.f;'],
  ),
  ...inFile('codegen/device/doubles.cuh', [
    'means are rounded twice',
    'return __int_as_float((__float_as_int(near) - beyond) | 1);',
    'return near;',
  ]),
  ...inFile('codegen/attention/zones.ts', [
    'a zone lacks its last value',
    'to = min(from + ${zoneSize}, p.size)',
    'to = min(from + ${zoneSize} - 1, p.size)',
  ]),
  ...inFile('codegen/uniforms.ts', [
    'different parts are one',
    'this.#known.get(key) ??',
    '[...this.#known.values()][0] ??',
  ]),
];

const estimates = inFile(
  'codegen/device/select-short-mass.cuh',
  [
    'of equal weights the higher columns',
    'other == weight && is_lower',
    'other == weight && !is_lower',
  ],
  ['ties are one too few', '(missing - at_high + one - 1) / one', '(missing - at_high - 1) / one'],
);

export const codegen: readonly Mutation[] = [...analysis, ...attention, ...estimates];
