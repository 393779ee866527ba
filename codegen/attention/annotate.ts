// A kernel as people read it: a banner, the author's own lines above the functions that were made of them, and
// `#line` so that a compiler's error there names the author's file. Lines are put between those of the canonical
// text, which stay as they are; the canonical text alone is hashed and compiled.

import { position, type Span } from '../../dsl/diagnostic.ts';
import { children, type Expression } from '../../dsl/expression.ts';

/** What is put into a kernel. */
export interface Annotation {
  /** Lines above everything, as plain words. */
  readonly banner: readonly string[];
  /** What the compiler calls the file. */
  readonly path: string;
  readonly mask?: Expression | undefined;
  readonly score?: Expression | undefined;
}

/** The places that an expression was lifted from: one, or one for each of several combined masks. */
export function placesOf(node: Expression): Span[] {
  if (node.span) return [node.span];
  const spans = children(node).flatMap(placesOf);
  const seen = new Set<string>();
  return spans.filter(({ source, start, end }) => {
    const key = `${source.path} ${start} ${end}`;
    return !seen.has(key) && seen.add(key);
  });
}

/** The whole lines of a span as comments, without the indentation that they share. */
function quoted({ source, start, end }: Span): string[] {
  const first = position(source, start).line;
  const last = position(source, end).line;
  const lines = source.text.split('\n').slice(first - 1, last);
  const indent = Math.min(
    ...lines.filter((line) => line.trim() !== '').map((line) => line.search(/\S/)),
  );
  // A backslash at its end would make the next line part of the comment.
  const text = lines.map((line) => `//   ${line.slice(indent)}`.trimEnd().replace(/\\$/, '\\.'));
  return [`// ${source.path}:${first}`, ...text];
}

/** Does this line begin a function that is the author's expression? */
const authorOf = (line: string): 'mask' | 'score' | undefined => {
  if (/^WARPLOOM_DEVICE (?:bool allowed|Truth judge)_(?:tiles|columns|rest)\(/.test(line))
    return 'mask';
  return /^WARPLOOM_DEVICE float (?:score|bias_at)\(/.test(line) ? 'score' : undefined;
};

/** The canonical text with the annotation between its lines. */
export function annotated(source: string, annotation: Annotation): string {
  const { banner, path } = annotation;
  const text = banner.map((line) => `// ${line}`.trimEnd());
  let inside: readonly Span[] = [];
  for (const line of source.split('\n')) {
    const author = authorOf(line);
    if (author !== undefined) {
      const expression = annotation[author];
      inside = expression ? placesOf(expression) : [];
      text.push(...inside.flatMap(quoted));
    }
    const [place] = inside;
    if (place && line.startsWith('  return ')) {
      const number = position(place.source, place.start).line;
      text.push(`#line ${number} "${place.source.path.replace(/["\\]/g, '\\$&')}"`, line);
      text.push(`#line ${text.length + 2} "${path}"`);
    } else text.push(line);
    if (line === '}') inside = [];
  }
  return text.join('\n');
}
