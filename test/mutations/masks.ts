// Deliberate faults of what kernels ask of the masks: pair by pair, by boxes, by words of bits.

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: texts of source files

import { inFile, type Mutation } from './mutation.ts';

export const masks: readonly Mutation[] = [
  ...inFile(
    'codegen/attention/masks/index.ts',
    ['the bits of the mask are exchanged', '(bits[r] >> j & 1u)', '(bits[r] >> (j ^ 1) & 1u)'],
    [
      'a lane masks the row of another',
      ": 'allowed(u, visit, q + 8 * r, key)'",
      ": 'allowed(u, visit, q, key)'",
    ],
  ),
  ...inFile(
    'codegen/attention/masks/boxes.ts',
    [
      'pools that only some rows may attend to are lost',
      'word = __ballot_sync(FULL_WARP, truth.may);',
      'word = __ballot_sync(FULL_WARP, !truth.may_not);',
    ],
    [
      'a box asks the rows that its lanes loaded, one further',
      "'of_key, loads_of_lane(of_own, r)'",
      "'of_key, loads_of_lane(of_own, r ^ 1)'",
    ],
  ),
  ...inFile(
    'codegen/attention/masks/remainders.ts',
    [
      'what is divisible is so further on as well',
      'isKnown && constant === 0 && rest === 0',
      'rest === 0',
    ],
    [
      'queries before the first key have the rest of those after it',
      'const ofQuery = restOfQuery(divisor);',
      "const ofQuery = binary('rem', index('q'), divisor);",
    ],
    ['a rest has any sign', 'if (rest === 0) return isSame', 'if (rest >= 0) return isSame'],
    ['keys are further on than queries', 'q * (constant - rest)', 'constant - rest'],
  ),
  ...inFile('codegen/attention/masks/own.ts', [
    'no mask asks whether there is such a key',
    'isQuick(asked[i]!) && endsAtQuery',
    'isQuick(asked[i]!) || endsAtQuery',
  ]),
  ...inFile('codegen/attention/masks/loaded.ts', [
    'a lane asks what the next one has loaded of a key',
    'column + j % 4 * 8 + e);\n#pragma',
    'column + j % 4 * 8 + (e ^ 1));\n#pragma',
  ]),
  ...inFile(
    'codegen/attention/words.ts',
    [
      'keys of a pool that different parts let through are taken for all of it',
      'known.filter((part) => !part.isSame).length > 1',
      'known.filter((part) => !part.isSame).length > 9',
    ],
    ['pools beyond the last key are there', '(u.k_len + ${size - 1}ll) / ${size}', 'NO_MEMBER'],
    ['a block is asked where it begins within a word', 'multiple % 32 === 0 && ', ''],
    [
      'distances run on with the keys',
      'return search.sign === 1 ? word : `__brev(${word})`',
      'return word',
    ],
  ),
  ...inFile('codegen/attention/masks/words.ts', [
    'a lane finds the word of the next box',
    '(2 * i + (lane >> 4)) * 32',
    '(2 * i + 1 - (lane >> 4)) * 32',
  ]),
];
