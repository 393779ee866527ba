// In which order a search tries what moves keys in different ways.

import { expect, test } from 'vitest';
import { type Choice, choiceName, ofHopper, ofPortable } from '../../codegen/attention/choice.ts';
import { hopperTile } from '../../codegen/attention/hopper/knobs.ts';
import { alternating, byTraffic } from '../../runtime/tuner/traffic.ts';

const tiles = [
  hopperTile(2, 128),
  hopperTile(2, 128, { speculative: false }),
  hopperTile(3, 80),
  hopperTile(2, 64, { work: 'longest' }),
].map(ofHopper);
const [two, classic, three, longest] = tiles as [Choice, Choice, Choice, Choice];
const portable = ofPortable({ qTile: 128, kTile: 64, warps: 4, stages: 2, blocks: 1 });

test('rows of a tile, its order and its back-end tell who moves as much', () => {
  const groups = byTraffic([two, classic, three, longest, portable], (choice) => choice);
  expect(groups).toEqual([[two, classic], [three], [longest], [portable]]);
});

test('each way to move keys has its turn, and nothing is left out', () => {
  const all = [two, classic, longest, three, portable];
  expect(alternating(all).map(choiceName)).toEqual(
    [two, longest, three, portable, classic].map(choiceName),
  );
  expect(alternating([])).toEqual([]);
});
