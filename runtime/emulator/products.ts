// The asynchronous products in the text of a kernel, read as an assembler reads them. Their instruction names
// every accumulator, so each kernel has its own in place of a primitive (codegen/wgmma.ts).
// Source: PTX ISA, wgmma.mma_async.

import { invariant } from '../../dsl/diagnostic.ts';

const productFunction =
  /(WARPLOOM_DEVICE void \w+\([^{}]*)\) \{(\s*)asm volatile\(\s*((?:"(?:[^"\\]|\\.)*"\s*)+):([\s\S]*?)\);/g;
const instruction =
  /^wgmma\.mma_async\.sync\.aligned\.m64n(\d+)k16\.f32\.(bf16|f16)\.(bf16|f16) \{([^}]*)\}, (\{[^}]*\}|%\d+|\w+), (%\d+|\w+), p, (-?\d), (-?\d), (\d)(?:, (\d))?$/;
const frame = /^\{\n\.reg \.pred p;\n(?:\.reg \.b64 [\w, ]+;\n)?([\s\S]*);\n\}\n$/;
const setsPredicate = /^setp\.ne\.b32 p, (%\d+|[01]), 0$/;
const addsBoth = /^add\.s64 (\w+), (%\d+), (\d+)$/;
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

/** The statements of one function: products, and between them what their last operands become. */
function callOf(text: string, operands: readonly string[]): string {
  const operandAt = (place: string): string => {
    const found = operands[Number(place.slice(1))];
    invariant(found !== undefined, `a product has no operand ${place}`);
    return `(${found})`;
  };
  /** Expressions of the names that the text declares. */
  const values = new Map<string, string>();
  const expressionOf = (name: string): string => {
    const value = name.startsWith('%') ? operandAt(name) : values.get(name);
    invariant(value !== undefined, `a product uses ${name}, which nothing has set`);
    return value;
  };
  let adds = '';
  const calls: string[] = [];
  const [, statements] = frame.exec(text) ?? [];
  invariant(statements, `the emulator does not know the instructions ${JSON.stringify(text)}`);
  for (const statement of statements.split(';\n')) {
    const [, predicate] = setsPredicate.exec(statement) ?? [];
    const [, whole, base, units] = addsBoth.exec(statement) ?? [];
    if (predicate !== undefined)
      adds = predicate.startsWith('%') ? operandAt(predicate) : predicate;
    else if (whole !== undefined) values.set(whole, `(${operandAt(base!)} + ${units}ull)`);
    else calls.push(productOf(statement, adds, operandAt, expressionOf));
  }
  return calls.join(' ');
}

function productOf(
  statement: string,
  adds: string,
  operandAt: (place: string) => string,
  expressionOf: (name: string) => string,
): string {
  const parts = instruction.exec(statement);
  invariant(parts, `the emulator does not know the instruction ${JSON.stringify(statement)}`);
  const [, n, type, other, results, a, b, signA, signB, first, second] = parts;
  const placesIn = (list: string) => [...list.matchAll(/%\d+/g)].map(([place]) => operandAt(place));
  const outputs = placesIn(results!);
  invariant(
    type === other && outputs.length === Number(n) / 2 && signA === '1' && signB === '1',
    `the operands of ${JSON.stringify(statement)} do not fit its shape`,
  );
  const fromRegisters = a!.startsWith('{');
  // With A in registers only B may be transposed.
  const [transposedA, transposedB] = fromRegisters ? ['0', first] : [first, second];
  invariant(transposedB !== undefined, `${JSON.stringify(statement)} does not say how B lies`);
  const addresses = (list: readonly string[]) => list.map((one) => `&${one}`).join(', ');
  return [
    `{ float* const results[] = {${addresses(outputs)}};`,
    fromRegisters ? `const u32* const registers[] = {${addresses(placesIn(a!))}};` : '',
    `const WarploomProduct product = {${n}, ${type === 'f16'}, ${transposedA !== '0'}, ${transposedB !== '0'},`,
    `results, ${fromRegisters ? 'registers' : 'nullptr'}, ${fromRegisters ? '0' : expressionOf(a!)},`,
    `${expressionOf(b!)}, ${adds} != 0}; warploomMultiply(&product, line.at); }`,
  ].join(' ');
}
