// The asynchronous products in the text of a kernel, read as an assembler reads them. Their instruction names
// every accumulator, so each kernel has its own in place of a primitive (codegen/wgmma.ts).
// Source: PTX ISA, wgmma.mma_async.

import { invariant } from '../../dsl/diagnostic.ts';

const productFunction =
  /(WARPLOOM_DEVICE void \w+\([^{}]*)\) \{(\s*)asm volatile\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+):([\s\S]*?)\);/g;
const instruction =
  /^\{\n\.reg \.pred p;\nsetp\.ne\.b32 p, (%\d+|[01]), 0;\nwgmma\.mma_async\.sync\.aligned\.m64n(\d+)k16\.f32\.(bf16|f16)\.(bf16|f16) \{([^}]*)\}, (\{[^}]*\}|%\d+), %(\d+), p, (-?\d), (-?\d), (\d)(?:, (\d))?;\n\}\n$/;
const operand = /"([+=]f|l|r)"\(/g;

/**
 * The same text with calls of the emulator in place of the products, each of which is a function. Lines keep their
 * numbers; that of a fault is the caller's.
 */
export const hostProducts = (source: string): string =>
  source.replace(productFunction, (whole, head: string, _, strings: string, operands: string) => {
    const text = [...strings.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, part]) => part).join('');
    const call = callOf(text.replaceAll('\\n', '\n'), operandsOf(operands));
    const newlines = whole.slice(head.length).replace(/[^\n]/g, '');
    return `${head}, WARPLOOM_LINE) { ${call}${newlines}`;
  });

/** The expressions of `"+f"(d[0]), "l"(a)`, in order. */
function operandsOf(text: string): string[] {
  return [...text.matchAll(operand)].map(({ 0: { length }, index }) => {
    const from = index + length;
    let at = from;
    for (let depth = 1; depth > 0; at += 1) {
      invariant(at < text.length, `an operand of a product does not end: ${text.slice(from)}`);
      if (text[at] === '(') depth += 1;
      if (text[at] === ')') depth -= 1;
    }
    return text.slice(from, at - 1);
  });
}

function callOf(text: string, operands: readonly string[]): string {
  const parts = instruction.exec(text);
  invariant(parts, `the emulator does not know the instruction ${JSON.stringify(text)}`);
  const [, adds, n, type, other, results, a, b, signA, signB, first, second] = parts;
  const placesIn = (list: string) => [...list.matchAll(/%(\d+)/g)].map(([, at]) => operandAt(at!));
  const operandAt = (place: string): string => {
    const found = operands[Number(place)];
    invariant(found !== undefined, `a product has no operand %${place}`);
    return `(${found})`;
  };
  const addsText = adds!.startsWith('%') ? operandAt(adds!.slice(1)) : adds;
  const outputs = placesIn(results!);
  invariant(
    type === other && outputs.length === Number(n) / 2 && signA === '1' && signB === '1',
    `the operands of ${JSON.stringify(text)} do not fit its shape`,
  );
  const fromRegisters = a!.startsWith('{');
  // With A in registers only B may be transposed.
  const [transposedA, transposedB] = fromRegisters ? ['0', first] : [first, second];
  invariant(transposedB !== undefined, `${JSON.stringify(text)} does not say how B lies`);
  const addresses = (list: readonly string[]) => list.map((one) => `&${one}`).join(', ');
  return [
    `{ float* const results[] = {${addresses(outputs)}};`,
    fromRegisters ? `const u32* const registers[] = {${addresses(placesIn(a!))}};` : '',
    `const WarploomProduct product = {${n}, ${type === 'f16'}, ${transposedA !== '0'}, ${transposedB !== '0'},`,
    `results, ${fromRegisters ? 'registers' : 'nullptr'}, ${fromRegisters ? '0' : operandAt(a!.slice(1))},`,
    `${operandAt(b!)}, ${addsText} != 0}; warploomMultiply(&product, line.at); }`,
  ].join(' ');
}
