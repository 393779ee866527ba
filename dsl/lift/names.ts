// What a name outside the function is worth to a mask: a constant is inlined, a pure function can be
// called, anything else is an error that says what to write. Which declaration it means: scope.ts.

import type { Diagnostic, Note } from '../diagnostic.ts';
import { isRelative, openImport } from './files.ts';
import { globalValue } from './globals.ts';
import { hintFor, member } from './members.ts';
import { constantValue, enumOf, enumValue, respan } from './objects.ts';
import {
  type Declaration,
  enclosingFunction,
  findByMember,
  findDeclaration,
  findExport,
  isAssigned,
  specifierOf,
} from './scope.ts';
import { isFunction, isTyped, type Parsed, parsedAround, spanOf, type Ts, ts } from './syntax.ts';
import { type Context, type Root, Scope, unknown, type Value } from './value.ts';

/** The names that a function sees where it stands in its file. */
export function fileRoot(from: Ts.Node): Root {
  return {
    resolve(context, name, use) {
      const declaration = findDeclaration(name, from);
      if (declaration) return declaredValue(context, declaration, use);
      return globalValue(context, name, use) ?? missing(context, name, use);
    },
  };
}

/**
 * The names of a running function's text whose file is known: those that the file has too mean the
 * same; those that a transform renamed (`import_sizes.SINKS`) are found by their last name; the
 * others stay unknown, and the comparison with the file decides.
 */
export function runningRoot(from: Ts.Node): Root {
  const parsed = parsedAround(from);
  const stranger = (name: string): Value => ({
    is: 'unknown',
    name,
    member(context, last, use) {
      const declaration = findByMember(parsed, last);
      return declaration ? declaredValue(context, declaration, use) : unknown(`${name}.${last}`);
    },
  });
  return {
    resolve(context, name, use) {
      const declaration = findDeclaration(name, from);
      if (declaration) return declaredValue(context, declaration, use);
      return globalValue(context, name, use) ?? stranger(name);
    },
  };
}

/** The names of a function that has no file: only what is global, or declared in the pattern. */
export function lonelyRoot(): Root {
  return {
    resolve(context, name, use) {
      const value = globalValue(context, name, use);
      if (value) return value;
      const hint = hintFor(context, name);
      return hint
        ? context.fail('L003', `'${name}' is declared nowhere in this function`, use, {
            help: hint,
          })
        : context.fail(
            'L012',
            `'${name}' is not declared, and there is no source to find it in`,
            use,
            {
              help: `write its value into the function, or declare it: pattern('${context.pattern}', { ${shortName(name)}: count })`,
            },
          );
    },
  };
}

const shortName = (name: string): string => (/^\w+$/.test(name) ? name : 'x');

function missing(context: Context, name: string, use: Ts.Node): Value {
  const help =
    hintFor(context, name) ??
    `declare it: pattern('${context.pattern}', { ${name}: count }), or write const ${name} = ... in this file`;
  return context.fail('L003', `'${name}' is declared nowhere`, use, { help });
}

/** What a declaration stands for, seen from a use of it. */
export function declaredValue(context: Context, declaration: Declaration, use: Ts.Node): Value {
  const known = context.known.get(declaration);
  if (known) return respan(known, use);
  const value = firstValue(context, declaration, use);
  context.known.set(declaration, value);
  return respan(value, use);
}

function firstValue(context: Context, declaration: Declaration, use: Ts.Node): Value {
  if (ts.isParameter(declaration)) return enclosed(context, declaration, use);
  if (ts.isBindingElement(declaration)) return elementValue(context, declaration, use);
  if (ts.isVariableDeclaration(declaration)) return variableValue(context, declaration, use);
  if (ts.isEnumDeclaration(declaration)) {
    return enumValue(context, declaration, rootAt(declaration));
  }
  if (isFunction(declaration)) {
    return { is: 'function', node: declaration, scope: rootAt(declaration) };
  }
  if (ts.isImportSpecifier(declaration)) {
    const name = (declaration.propertyName ?? declaration.name).text;
    return importedValue(context, declaration, name, use);
  }
  if (ts.isImportClause(declaration)) return importedValue(context, declaration, 'default', use);
  if (ts.isNamespaceImport(declaration) || ts.isImportEqualsDeclaration(declaration)) {
    return moduleValue(context, declaration, use);
  }
  return context.fail('L001', `'${use.getText()}' has no meaning on a device`, use, {
    help: 'a mask uses numbers: constants, parameters, tensors and chosen sets',
  });
}

/** The scope outside a declaration. */
const rootAt = (node: Ts.Node): Scope => new Scope(fileRoot(node.parent));

function enclosed(context: Context, declaration: Ts.Node, use: Ts.Node): Value {
  const name = use.getText();
  return context.fail(
    'L011',
    `'${name}' comes from an enclosing function, so its value is not in the source`,
    use,
    {
      help: `declare it: pattern('${context.pattern}', { ${shortName(name)}: count.default(${name}) })`,
      notes: [note('it is given here', declaration)],
    },
  );
}

function elementValue(context: Context, element: Ts.BindingElement, use: Ts.Node): Value {
  let owner: Ts.Node = element;
  while (ts.isBindingElement(owner)) owner = owner.parent.parent;
  const field = element.propertyName ?? element.name;
  const holder = element.parent.parent;
  if (!ts.isVariableDeclaration(owner) || !ts.isIdentifier(field)) {
    return enclosed(context, element, use);
  }
  const value = ts.isBindingElement(holder)
    ? elementValue(context, holder, use)
    : variableValue(context, owner, use);
  return member(context, value, field.text, use);
}

function variableValue(context: Context, variable: Ts.VariableDeclaration, use: Ts.Node): Value {
  const { initializer, parent } = variable;
  const name = use.getText();
  const isConst = (parent.flags & ts.NodeFlags.Const) !== 0;
  if (!initializer || !ts.isVariableDeclarationList(parent)) {
    const compiled = enumOf(variable, rootAt(variable));
    if (compiled) return compiled;
    if (enclosingFunction(variable)) return enclosed(context, variable, use);
    if (!isConst) return changing(context, variable, use);
    return context.fail('L003', `'${name}' is declared here without a value`, use, {
      help: `write const ${name} = ..., or declare it: pattern('${context.pattern}', { ${name}: count })`,
    });
  }
  // Compilers write `var` for `const`, so JavaScript is judged by its assignments.
  if (!isConst && (isTyped(variable) || isAssigned(variable))) {
    return changing(context, variable, use);
  }
  if (context.active.has(variable)) {
    return context.fail('L007', `'${name}' is made from itself`, use);
  }
  context.active.add(variable);
  const inner = context.quiet();
  const scope = rootAt(variable);
  const value = constantValue(inner, initializer, scope, () => isAssigned(variable));
  context.active.delete(variable);
  const [first] = inner.findings;
  if (!first) return value;
  return hidden(context, variable, use, first);
}

/** A constant whose initialiser is itself no constant: one finding at the use, the cause as a note. */
function hidden(
  context: Context,
  variable: Ts.VariableDeclaration,
  use: Ts.Node,
  cause: Diagnostic,
): Value {
  const name = use.getText();
  const code = enclosingFunction(variable) && cause.code !== 'L004' ? 'L011' : cause.code;
  const declare = `declare it: pattern('${context.pattern}', { ${shortName(name)}: count.default(${name}) })`;
  return context.fail(code, `the value of '${name}' is not in the source`, use, {
    help: cause.code === 'L004' && cause.help ? cause.help : declare,
    notes: [{ what: cause.what, span: cause.span }],
  });
}

function changing(context: Context, variable: Ts.VariableDeclaration, use: Ts.Node): Value {
  const name = use.getText();
  return context.fail('L004', `'${name}' can change, so the source does not say its value`, use, {
    help: `write const ${name} = ..., or declare it: pattern('${context.pattern}', { ${shortName(name)}: count })`,
    notes: [note('declared here', variable)],
  });
}

const note = (what: string, node: Ts.Node): Note => ({ what, span: spanOf(node) });

/** The file behind an import, or an error at the use. */
function target(context: Context, from: Ts.Node, use: Ts.Node): Parsed | Value {
  const specifier = specifierOf(from) ?? '';
  const name = use.getText();
  if (!isRelative(specifier)) {
    return context.fail('L005', `'${name}' comes from the package '${specifier}'`, use, {
      help: `write its value in a file of yours: const ${shortName(name)} = ..., or declare it as a parameter`,
      notes: [note('imported here', from)],
    });
  }
  const parsed = openImport(parsedAround(from).source.path, specifier);
  if (parsed && !parsed.error) return parsed;
  const what = parsed?.error ? `'${specifier}' cannot be parsed` : `'${specifier}' cannot be read`;
  const cause = parsed?.error ? [parsed.error] : [];
  return context.fail('L021', `${what}, so the value of '${name}' is not known`, use, {
    help: 'a relative import of a .ts or .js file can be followed',
    notes: [note('imported here', from), ...cause],
  });
}

const isParsed = (found: Parsed | Value): found is Parsed => 'tree' in found;

function importedValue(context: Context, from: Ts.Node, name: string, use: Ts.Node): Value {
  const found = target(context, from, use);
  return isParsed(found) ? exportedValue(context, found, name, use) : found;
}

function moduleValue(context: Context, from: Ts.Node, use: Ts.Node): Value {
  const found = target(context, from, use);
  if (!isParsed(found)) return found;
  return {
    is: 'object',
    what: use.getText(),
    member: (where, name, at) => exportedValue(where, found, name, at),
  };
}

function exportedValue(context: Context, parsed: Parsed, name: string, use: Ts.Node): Value {
  const found = findExport(parsed, name);
  switch (found?.is) {
    case 'declaration':
      return declaredValue(context, found.declaration, use);
    case 'expression': {
      const scope = new Scope(fileRoot(found.expression));
      return respan(
        constantValue(context, found.expression, scope, () => false),
        use,
      );
    }
    case 'elsewhere':
      return importedValue(context, found.from, found.name, use);
    case 'module':
      return moduleValue(context, found.from, use);
    default:
      return context.fail('L003', `${parsed.source.path} does not export '${name}'`, use, {
        help: 'was the file edited after it was loaded?',
      });
  }
}
