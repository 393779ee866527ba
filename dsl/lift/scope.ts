// Which declaration a name means, by syntax alone: lexical scope inside a file, exports across files.
// What a declaration is worth to a mask is decided in names.ts.

import { openImport } from './files.ts';
import { type Parsed, parsedAround, type Ts, ts } from './syntax.ts';

/** A node that gives a name its meaning. */
export type Declaration =
  | Ts.VariableDeclaration
  | Ts.BindingElement
  | Ts.ParameterDeclaration
  | Ts.FunctionDeclaration
  | Ts.FunctionExpression
  | Ts.ClassLikeDeclaration
  | Ts.EnumDeclaration
  | Ts.ModuleDeclaration
  | Ts.ImportSpecifier
  | Ts.ImportClause
  | Ts.NamespaceImport
  | Ts.ImportEqualsDeclaration;

const declared = new WeakMap<Ts.Node, Map<string, Declaration>>();

/** The declaration that `name` means at `node`, looking outwards from there. */
export function findDeclaration(name: string, node: Ts.Node): Declaration | undefined {
  for (let at: Ts.Node | undefined = node; at; at = at.parent) {
    const found = namesOf(at).get(name);
    if (found) return found;
  }
  return undefined;
}

/** The names that a node gives to what stands inside it. */
function namesOf(node: Ts.Node): Map<string, Declaration> {
  let names = declared.get(node);
  if (!names) {
    names = new Map();
    collect(node, names);
    declared.set(node, names);
  }
  return names;
}

function collect(node: Ts.Node, names: Map<string, Declaration>): void {
  if (ts.isSourceFile(node) || ts.isBlock(node) || ts.isModuleBlock(node)) {
    for (const statement of node.statements) collectStatement(statement, names);
  } else if (ts.isCaseBlock(node)) {
    for (const clause of node.clauses) {
      for (const statement of clause.statements) collectStatement(statement, names);
    }
  } else if (ts.isFunctionLike(node)) {
    if (ts.isFunctionExpression(node) && node.name) names.set(node.name.text, node);
    for (const parameter of node.parameters) collectBinding(parameter, names);
  } else if (ts.isForStatement(node) || ts.isForOfStatement(node) || ts.isForInStatement(node)) {
    const { initializer } = node;
    if (initializer && ts.isVariableDeclarationList(initializer)) {
      for (const variable of initializer.declarations) collectBinding(variable, names);
    }
  } else if (ts.isCatchClause(node) && node.variableDeclaration) {
    collectBinding(node.variableDeclaration, names);
  }
}

function collectStatement(statement: Ts.Statement, names: Map<string, Declaration>): void {
  if (ts.isVariableStatement(statement)) {
    for (const variable of statement.declarationList.declarations) collectBinding(variable, names);
  } else if (
    ts.isFunctionDeclaration(statement) ||
    ts.isClassDeclaration(statement) ||
    ts.isEnumDeclaration(statement) ||
    ts.isImportEqualsDeclaration(statement)
  ) {
    // An overload has a name but no body; the implementation comes last.
    if (statement.name) names.set(statement.name.text, statement);
  } else if (ts.isModuleDeclaration(statement)) {
    if (!names.has(statement.name.text)) names.set(statement.name.text, statement);
  } else if (ts.isImportDeclaration(statement) && statement.importClause) {
    collectImport(statement.importClause, names);
  }
}

function collectImport(clause: Ts.ImportClause, names: Map<string, Declaration>): void {
  if (clause.name) names.set(clause.name.text, clause);
  const bindings = clause.namedBindings;
  if (!bindings) return;
  if (ts.isNamespaceImport(bindings)) names.set(bindings.name.text, bindings);
  else for (const specifier of bindings.elements) names.set(specifier.name.text, specifier);
}

function collectBinding(
  binding: Ts.VariableDeclaration | Ts.ParameterDeclaration | Ts.BindingElement,
  names: Map<string, Declaration>,
): void {
  if (ts.isIdentifier(binding.name)) {
    names.set(binding.name.text, binding);
    return;
  }
  for (const element of binding.name.elements) {
    if (ts.isBindingElement(element)) collectBinding(element, names);
  }
}

/** The module that an import or a re-export names. */
export function specifierOf(node: Ts.Node): string | undefined {
  for (let at: Ts.Node | undefined = node; at; at = at.parent) {
    if (ts.isImportDeclaration(at) || ts.isExportDeclaration(at)) {
      const from = at.moduleSpecifier;
      return from && ts.isStringLiteral(from) ? from.text : undefined;
    }
    if (ts.isImportEqualsDeclaration(at)) {
      const from = at.moduleReference;
      if (!ts.isExternalModuleReference(from)) return undefined;
      return ts.isStringLiteral(from.expression) ? from.expression.text : undefined;
    }
  }
  return undefined;
}

/** What a file exports under a name. */
export type Export =
  | { readonly is: 'declaration'; readonly declaration: Declaration }
  | { readonly is: 'expression'; readonly expression: Ts.Expression }
  /** A name of another module: `export { a as b } from './c.ts'`, also by import and export. */
  | { readonly is: 'elsewhere'; readonly from: Ts.Node; readonly name: string }
  /** All of another module: `export * as sizes from './sizes.ts'`. */
  | { readonly is: 'module'; readonly from: Ts.Node };

/** The export of this name; `export *` is followed through files that can be read. */
export function findExport(
  parsed: Parsed,
  name: string,
  seen = new Set<Parsed>(),
): Export | undefined {
  if (seen.has(parsed)) return undefined;
  seen.add(parsed);
  for (const statement of parsed.tree.statements) {
    const found = exportOf(statement, name, parsed);
    if (found) return found;
  }
  if (name === 'default') return undefined;
  for (const statement of parsed.tree.statements) {
    if (!ts.isExportDeclaration(statement) || statement.exportClause) continue;
    const target = openImport(parsed.source.path, specifierOf(statement) ?? '');
    const found = target && findExport(target, name, seen);
    if (found) return found;
  }
  return undefined;
}

function exportOf(statement: Ts.Statement, name: string, parsed: Parsed): Export | undefined {
  if (ts.isExportDeclaration(statement) && statement.exportClause) {
    const clause = statement.exportClause;
    if (ts.isNamespaceExport(clause)) {
      return clause.name.text === name ? { is: 'module', from: statement } : undefined;
    }
    const specifier = clause.elements.find((element) => element.name.text === name);
    if (!specifier) return undefined;
    const inner = (specifier.propertyName ?? specifier.name).text;
    if (statement.moduleSpecifier) return { is: 'elsewhere', from: statement, name: inner };
    return local(parsed, inner);
  }
  if (ts.isExportAssignment(statement)) {
    if (name !== 'default' || statement.isExportEquals) return undefined;
    return { is: 'expression', expression: statement.expression };
  }
  if (!hasModifier(statement, ts.SyntaxKind.ExportKeyword)) return undefined;
  if (hasModifier(statement, ts.SyntaxKind.DefaultKeyword)) {
    return name === 'default' && ts.isFunctionDeclaration(statement)
      ? { is: 'declaration', declaration: statement }
      : undefined;
  }
  const names = new Map<string, Declaration>();
  collectStatement(statement, names);
  return names.has(name) ? local(parsed, name) : undefined;
}

function local(parsed: Parsed, name: string): Export | undefined {
  const declaration = namesOf(parsed.tree).get(name);
  return declaration && { is: 'declaration', declaration };
}

function hasModifier(node: Ts.Statement, kind: Ts.SyntaxKind): boolean {
  return ts.canHaveModifiers(node) && (node.modifiers?.some((one) => one.kind === kind) ?? false);
}

/** The declaration that a transform may have renamed to `something.member` in a running function. */
export function findByMember(parsed: Parsed, member: string): Declaration | undefined {
  const imports: Declaration[] = [];
  for (const declaration of namesOf(parsed.tree).values()) {
    if (ts.isImportSpecifier(declaration)) {
      const imported = (declaration.propertyName ?? declaration.name).text;
      if (imported === member) return declaration;
    } else if (ts.isImportClause(declaration) && member === 'default') {
      imports.push(declaration);
    }
  }
  // Two default imports cannot be told apart by their member.
  if (imports.length === 1) return imports[0];
  return namesOf(parsed.tree).get(member);
}

/** The function around a declaration, or undefined at the top of a file. */
export function enclosingFunction(node: Ts.Node): Ts.Node | undefined {
  let at: Ts.Node | undefined = node.parent;
  while (at && !ts.isFunctionLike(at) && !ts.isClassStaticBlockDeclaration(at)) at = at.parent;
  return at;
}

/**
 * Is the variable, or a field of the object it holds, ever assigned in its file? Other files cannot
 * assign an imported binding. Compilers write `var` for `const`, so this is what tells them apart.
 */
export function isAssigned(declaration: Ts.VariableDeclaration): boolean {
  if (!ts.isIdentifier(declaration.name)) return true;
  const name = declaration.name.text;
  const changes = (target: Ts.Expression): boolean => {
    let base = target;
    while (ts.isPropertyAccessExpression(base) || ts.isElementAccessExpression(base)) {
      base = base.expression;
    }
    return (
      ts.isIdentifier(base) && base.text === name && findDeclaration(name, base) === declaration
    );
  };
  const visit = (node: Ts.Node): boolean => {
    const target = targetOf(node);
    if (target && changes(target)) return true;
    return ts.forEachChild(node, (child) => visit(child) || undefined) ?? false;
  };
  return visit(parsedAround(declaration).tree);
}

function targetOf(node: Ts.Node): Ts.Expression | undefined {
  if (ts.isPostfixUnaryExpression(node)) return node.operand;
  if (ts.isPrefixUnaryExpression(node)) {
    const { PlusPlusToken, MinusMinusToken } = ts.SyntaxKind;
    const changes = node.operator === PlusPlusToken || node.operator === MinusMinusToken;
    return changes ? node.operand : undefined;
  }
  if (ts.isDeleteExpression(node)) return node.expression;
  if (ts.isBinaryExpression(node) && isAssignment(node.operatorToken.kind)) return node.left;
  return undefined;
}

export const isAssignment = (kind: Ts.SyntaxKind): boolean =>
  kind >= ts.SyntaxKind.FirstAssignment && kind <= ts.SyntaxKind.LastAssignment;
