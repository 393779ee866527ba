// What a mask or score may say, as the expression it becomes. Runs under vitest's own transform.

import { expect, test } from 'vitest';
import { mask, score, text } from './builder.ts';

test('a mask of comparisons and logic becomes the same expression', () => {
  const it = mask(({ q, k }, { window, sinks }) => k <= q && (k < sinks || q - k < window));
  expect(text(it)).toBe('and(le($k,$q),or(lt($k,?int:sinks),lt(sub:int($q,$k),?int:window)))');
});

test('a > b is b < a, and a >= b is b <= a', () => {
  expect(text(mask(({ q, k }) => q >= k && q > 3))).toBe('and(le($k,$q),lt(int:3,$q))');
});

test('Math.floor(a / b) of integers is a floor division, and ceil its mirror', () => {
  expect(text(mask(({ q, k }, { block }) => Math.floor(q / block) === Math.ceil(k / 64)))).toBe(
    'eq(floordiv:int($q,?int:block),neg:int(floordiv:int(neg:int($k),int:64)))',
  );
});

test('const, if and return become selects', () => {
  const it = mask(({ q, k }, { window }) => {
    const distance = q - k;
    if (distance < 0) return false;
    if (k === 0) {
      const near = distance < 7;
      return near;
    } else if (k === 1) return true;
    return distance < window;
  });
  expect(text(it)).toMatchInlineSnapshot(
    `"select(lt(sub:int($q,$k),int:0),bool:false,select(eq($k,int:0),lt(sub:int($q,$k),int:7),select(eq($k,int:1),bool:true,lt(sub:int($q,$k),?int:window))))"`,
  );
});

test('an if that returns on one path only goes on with what follows', () => {
  const it = mask(({ q, k }) => {
    if (k < 4) {
      if (q > 9) return true;
    }
    return k === q;
  });
  expect(text(it)).toBe('select(lt($k,int:4),select(lt(int:9,$q),bool:true,eq($k,$q)),eq($k,$q))');
});

test('tensors and sets are read with their declared arity', () => {
  const it = mask(
    ({ q, k, batch }, { doc, columns, blocks, block }) =>
      doc.at(batch, q) === doc.at(batch, k) &&
      (columns.has(k) || blocks.has(Math.floor(q / block), Math.floor(k / block))),
  );
  expect(text(it)).toMatchInlineSnapshot(
    `"and(eq(doc.at:int($batch,$q),doc.at:int($batch,$k)),or(columns.has($k),blocks.has(floordiv:int($q,?int:block),floordiv:int($k,?int:block))))"`,
  );
});

test('renamed and whole arguments mean the same', () => {
  const plain = text(mask(({ q, k }, { window }) => q - k < window));
  expect(text(mask(({ q: row, k: column }, { window: w }) => row - column < w))).toBe(plain);
  expect(text(mask((pair, given) => pair.q - pair.k < given.window))).toBe(plain);
  expect(
    text(
      mask((pair, given) => {
        const { q, k: key } = pair;
        const { window } = given;
        return q - key < window;
      }),
    ),
  ).toBe(plain);
});

test('bits, powers, remainders and min/max of integers are integers', () => {
  const it = mask(
    ({ q, k }, { block }) =>
      ((q - k) & (q - k - 1)) === 0 ||
      (q >>> 1) + (k >> 1) + ~k < (k ^ 3) << 2 ||
      k ** 2 < q ** 3 ||
      q % block === Math.min(k, 4, q) ||
      Math.abs(q - k) <= Math.max(1, Math.sign(k)),
  );
  expect(text(it)).toMatchInlineSnapshot(
    `"or(eq(bitand:int(sub:int($q,$k),sub:int(sub:int($q,$k),int:1)),int:0),lt(add:int(add:int(ushr:int($q,int:1),shr:int($k,int:1)),bitnot:int($k)),shl:int(bitxor:int($k,int:3),int:2)),lt(mul:int($k,$k),mul:int(mul:int($q,$q),$q)),eq(rem:int($q,?int:block),min:int(min:int($k,int:4),$q)),le(abs:int(sub:int($q,$k)),max:int(int:1,sign:int($k))))"`,
  );
});

test('types, parentheses and assertions mean nothing', () => {
  const it = mask(({ q, k }: { q: number; k: number }) => (k as number) <= (q! satisfies number));
  expect(text(it)).toBe('le($k,$q)');
});

test('floats of a mask are compared, negated, chosen and rounded', () => {
  const it = mask(
    ({ k, head }, { bias, slope }) =>
      Math.max(bias.at(head), -slope) < 0.5 || bias.at(k) > Math.fround(0.1) || k < Infinity,
  );
  expect(text(it)).toMatchInlineSnapshot(
    `"or(lt(max:float(bias.at:float($head),neg:float(?float:slope)),float:0.5),lt(float:0.10000000149011612,bias.at:float($k)),lt(float($k),float:Infinity))"`,
  );
});

test('constant floats are folded as JavaScript folds them', () => {
  expect(text(mask((_, { slope }) => slope < (1 / 8) * 3))).toBe('lt(?float:slope,float:0.375)');
});

test('a score computes with floats', () => {
  const it = score(({ s, q, k }, { slope }) => 30 * Math.tanh(s / 30) - slope * (q - k));
  expect(text(it)).toMatchInlineSnapshot(
    `"sub:float(mul:float(float(int:30),tanh:float(div:float($s,float(int:30)))),mul:float(?float:slope,float(sub:int($q,$k))))"`,
  );
});

test('a score of every function of Math', () => {
  const it = score(
    ({ s, k }) =>
      Math.exp(s) + Math.log(k + 1) + Math.log2(k + 1) + Math.sqrt(k) + Math.sin(s) + Math.cos(s) +
      Math.floor(s) + Math.ceil(s) + Math.trunc(s) + s ** 2 + s ** 1.5 + (s % 3) + Math.PI +
      Math.round(k) + Math.fround(s) + Math.abs(s) + Math.sign(s) + 0.1 + Number.MAX_SAFE_INTEGER,
  ); // biome-ignore format: a list
  expect(text(it)).not.toContain('error');
});

test('an integer score is a float', () => {
  expect(text(score(({ k }) => k))).toBe('float($k)');
  expect(text(score(({ s, k }) => (k < 4 ? s : -Infinity)))).toBe(
    'select(lt($k,int:4),$s,neg:float(float:Infinity))',
  );
});

test('booleans may be compared with each other', () => {
  expect(text(mask(({ q, k }) => q > 4 !== k > 4))).toBe('ne(lt(int:4,$q),lt(int:4,$k))');
});
