// Sandboxed JavaScript, as Tag Manager documents it: ECMAScript 5.1 with const, let and arrow functions; no `new`, `this`,
// classes, regular expressions or exceptions; values of eight types, and of their methods only those that are listed.
// https://developers.google.com/tag-platform/tag-manager/templates/sandboxed-javascript
//
// The code is interpreted instead of run, so that whatever is not named here does not exist.
import { parse } from "acorn";

/** https://developers.google.com/tag-platform/tag-manager/templates/standard-library */
const METHODS = {
  array: `concat every filter forEach indexOf join lastIndexOf map pop push reduce reduceRight reverse shift slice some sort
    splice toString unshift`,
  string: `charAt concat indexOf lastIndexOf match replace search slice split substring toLowerCase toLocaleLowerCase toString
    toUpperCase toLocaleUpperCase trim`,
  object: "toString",
  boolean: "toString",
  number: "toString",
};
const methods = new Map(Object.entries(METHODS).map(([type, names]) => [type, new Set(names.split(/\s+/))]));

/** The code uses something that the sandbox does not have. */
export class Refused extends Error {}

function refuse(what, node) {
  throw new Refused(node ? `${what} (line ${node.loc.start.line})` : what);
}

export function typeOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value;
}

/** Reads code, which is the body of a function; everything that it has, even where it is never run, must be allowed. */
export function compile(code) {
  let program;
  try {
    program = parse(code, { ecmaVersion: 2022, sourceType: "script", allowReturnOutsideFunction: true, locations: true });
  } catch (error) {
    refuse(`it does not parse: ${error.message}`);
  }
  program.body.forEach(checkNode);
  return program;
}

const OPERATORS = new Set("== != === !== < <= > >= + - * / % & | ^ << >> >>> in && || ! typeof void ~".split(" "));
const ASSIGNMENTS = new Set("= += -= *= /= %= &= |= ^= <<= >>= >>>=".split(" "));

/** What of each node stands for others, and what else must hold. A kind of node that is not here is refused. */
const GRAMMAR = {
  ArrayExpression: (node) => (node.elements.includes(null) ? refuse("a list with holes", node) : node.elements),
  ArrowFunctionExpression: functionParts,
  AssignmentExpression(node) {
    if (!ASSIGNMENTS.has(node.operator)) refuse(`the operator ${node.operator}`, node);
    if (!["Identifier", "MemberExpression"].includes(node.left.type)) refuse("taking apart", node);
    return [node.left, node.right];
  },
  BinaryExpression: operatorParts,
  BlockStatement: (node) => node.body,
  BreakStatement: noLabel,
  CallExpression: (node) => (node.optional ? refuse("?.", node) : [node.callee, ...node.arguments]),
  ConditionalExpression: (node) => [node.test, node.consequent, node.alternate],
  ContinueStatement: noLabel,
  DoWhileStatement: (node) => [node.body, node.test],
  EmptyStatement: () => [],
  ExpressionStatement: (node) => (node.directive ? refuse("a directive", node) : [node.expression]),
  ForStatement: (node) => [node.init, node.test, node.update, node.body].filter(Boolean),
  FunctionDeclaration: functionParts,
  FunctionExpression: functionParts,
  Identifier(node) {
    if (["arguments", "eval"].includes(node.name)) refuse(node.name, node);
    return [];
  },
  IfStatement: (node) => [node.test, node.consequent, node.alternate].filter(Boolean),
  Literal(node) {
    if (node.regex) refuse("a regular expression", node);
    if (node.bigint) refuse("a big integer", node);
    if (typeof node.value === "number" && !/^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$|^0x/i.test(node.raw)) refuse(node.raw, node);
    return [];
  },
  LogicalExpression: operatorParts,
  MemberExpression(node) {
    if (node.optional) refuse("?.", node);
    return node.computed ? [node.object, node.property] : [node.object];
  },
  ObjectExpression: (node) => node.properties,
  Property(node) {
    if (node.kind !== "init" || node.method) refuse("a method in an object", node);
    if (node.computed || node.shorthand) refuse("a short form in an object", node);
    if ((node.key.name ?? node.key.value) === "__proto__") refuse("__proto__", node);
    return [node.value];
  },
  ReturnStatement: (node) => [node.argument].filter(Boolean),
  SequenceExpression: (node) => node.expressions,
  SwitchCase: (node) => [node.test, ...node.consequent].filter(Boolean),
  SwitchStatement: (node) => [node.discriminant, ...node.cases],
  UnaryExpression: operatorParts,
  UpdateExpression: (node) => [node.argument],
  VariableDeclaration: (node) => node.declarations,
  VariableDeclarator: (node) => (node.id.type === "Identifier" ? [node.id, node.init].filter(Boolean) : refuse("taking apart", node)),
  WhileStatement: (node) => [node.test, node.body],
};

function operatorParts(node) {
  if (!OPERATORS.has(node.operator)) refuse(`the operator ${node.operator}`, node);
  return node.argument ? [node.argument] : [node.left, node.right];
}

function functionParts(node) {
  if (node.async || node.generator) refuse("a function that waits", node);
  if (node.params.some((param) => param.type !== "Identifier")) refuse("parameters that are not just names", node);
  return [node.body];
}

function noLabel(node) {
  return node.label ? refuse("a label", node) : [];
}

function checkNode(node) {
  const parts = Object.hasOwn(GRAMMAR, node.type) ? GRAMMAR[node.type] : refuse(`${node.type} does not exist`, node);
  parts(node).forEach(checkNode);
}

const BREAK = Symbol("break");
const CONTINUE = Symbol("continue");

/** Names of a block or function, and what they stand for. */
class Scope {
  names = new Map();

  constructor(outer) {
    this.outer = outer;
  }

  find(name) {
    return this.names.get(name) ?? this.outer?.find(name);
  }

  declare(name, kind, node) {
    const known = this.names.get(name);
    if (known && (kind !== "var" || known.kind !== "var")) refuse(`${name} is declared twice`, node);
    if (!known) this.names.set(name, { kind, isSet: kind === "var" || kind === "given", value: undefined });
    return this.names.get(name);
  }
}

/** Runs code with these globals. What it returns at its top level is returned. */
export function run(program, globals) {
  const outermost = new Scope();
  for (const [name, value] of Object.entries({ undefined, ...globals })) outermost.declare(name, "given").value = value;
  const result = block(program.body, new Scope(outermost));
  return result?.returned;
}

/** Declares what a block's statements declare before the first of them is run. */
function hoist(statements, scope) {
  for (const node of statements) {
    if (node.type === "VariableDeclaration") {
      node.declarations.forEach((declarator) => scope.declare(declarator.id.name, node.kind, node));
    } else if (node.type === "FunctionDeclaration") {
      const place = scope.declare(node.id.name, "var", node);
      place.value = closure(node, scope);
    }
  }
}

/** Runs statements; what ended them early, if something did. */
function block(statements, scope) {
  hoist(statements, scope);
  for (const node of statements) {
    const ended = statement(node, scope);
    if (ended !== undefined) return ended;
  }
  return undefined;
}

function body(node, scope) {
  return node.type === "BlockStatement" ? block(node.body, new Scope(scope)) : block([node], new Scope(scope));
}

const MOST_TURNS = 1_000_000;

function loop(node, scope, { test, update, testsFirst = true }) {
  for (let turn = 0; ; turn += 1) {
    if (turn > MOST_TURNS) refuse("a loop without end", node);
    if ((turn > 0 || testsFirst) && test && !value(test, scope)) return undefined;
    const ended = body(node.body, scope);
    if (ended === BREAK) return undefined;
    if (ended !== undefined && ended !== CONTINUE) return ended;
    if (update) value(update, scope);
  }
}

function statement(node, scope) {
  switch (node.type) {
    case "BlockStatement":
      return body(node, scope);
    case "BreakStatement":
      return BREAK;
    case "ContinueStatement":
      return CONTINUE;
    case "DoWhileStatement":
      return loop(node, scope, { test: node.test, testsFirst: false });
    case "ExpressionStatement":
      value(node.expression, scope);
      return undefined;
    case "ForStatement": {
      // The name of the loop is one for all turns here; functions made in the loop could tell.
      const inner = new Scope(scope);
      if (node.init?.type === "VariableDeclaration") block([node.init], inner);
      else if (node.init) value(node.init, inner);
      return loop(node, inner, node);
    }
    case "IfStatement":
      if (value(node.test, scope)) return body(node.consequent, scope);
      return node.alternate ? body(node.alternate, scope) : undefined;
    case "ReturnStatement":
      return { returned: node.argument ? value(node.argument, scope) : undefined };
    case "SwitchStatement": {
      const subject = value(node.discriminant, scope);
      const inner = new Scope(scope);
      let at = node.cases.findIndex((one) => one.test && value(one.test, inner) === subject);
      if (at < 0) at = node.cases.findIndex((one) => !one.test);
      const ended = at < 0 ? undefined : block(node.cases.slice(at).flatMap((one) => one.consequent), inner);
      return ended === BREAK ? undefined : ended;
    }
    case "VariableDeclaration":
      for (const { id, init } of node.declarations) {
        const place = scope.find(id.name);
        if (init || node.kind !== "var") place.value = init ? value(init, scope) : undefined;
        place.isSet = true;
      }
      return undefined;
    case "WhileStatement":
      return loop(node, scope, { test: node.test });
    default:
      return undefined;
  }
}

/** A function of the code, which the sandbox's APIs can call. */
function closure(node, scope) {
  return (...given) => {
    const inner = new Scope(scope);
    node.params.forEach((param, at) => {
      inner.declare(param.name, "given").value = given[at];
    });
    if (node.body.type !== "BlockStatement") return value(node.body, inner);
    return block(node.body.body, inner)?.returned;
  };
}

function place(node, scope) {
  const found = scope.find(node.name);
  if (!found) refuse(`there is no ${node.name}`, node);
  if (!found.isSet) refuse(`${node.name} is used before it is set`, node);
  return found;
}

const keyOf = (node, scope) => (node.computed ? value(node.property, scope) : node.property.name);

/** What an object, list or text has under a key; what it inherits does not exist. */
function member(object, key, node) {
  const type = typeOf(object);
  if (type === "undefined" || type === "null") refuse(`${String(key)} of ${type}`, node);
  if (methods.get(type)?.has(key) && !Object.hasOwn(Object(object), key)) refuse(`the method ${key} without a call`, node);
  return Object.hasOwn(Object(object), key) ? object[key] : undefined;
}

function call(node, scope) {
  const given = (which) => which.map((argument) => value(argument, scope));
  if (node.callee.type !== "MemberExpression") {
    const called = value(node.callee, scope);
    if (typeof called !== "function") refuse("a call of what is no function", node);
    return called(...given(node.arguments));
  }
  const object = value(node.callee.object, scope);
  const key = keyOf(node.callee, scope);
  const type = typeOf(object);
  if (type === "undefined" || type === "null") refuse(`${String(key)} of ${type}`, node);
  if (Object.hasOwn(Object(object), key) && typeof object[key] === "function") return object[key](...given(node.arguments));
  if (!methods.get(type)?.has(key)) refuse(`there is no method ${String(key)} of ${type}`, node);
  return object[key](...given(node.arguments));
}

function assign(node, changed, scope) {
  if (node.type === "Identifier") {
    const found = scope.find(node.name) ?? refuse(`there is no ${node.name}`, node);
    if (found.kind === "const") refuse(`${node.name} is constant`, node);
    return (found.value = changed(() => place(node, scope).value));
  }
  const object = value(node.object, scope);
  const key = keyOf(node, scope);
  if (!["object", "array"].includes(typeOf(object))) refuse(`a member set in ${typeOf(object)}`, node);
  if (key === "__proto__") refuse("__proto__", node);
  return (object[key] = changed(() => member(object, key, node)));
}

const BINARY = {
  "==": (a, b) => a == b,
  "!=": (a, b) => a != b,
  "===": (a, b) => a === b,
  "!==": (a, b) => a !== b,
  "<": (a, b) => a < b,
  "<=": (a, b) => a <= b,
  ">": (a, b) => a > b,
  ">=": (a, b) => a >= b,
  "+": (a, b) => a + b,
  "-": (a, b) => a - b,
  "*": (a, b) => a * b,
  "/": (a, b) => a / b,
  "%": (a, b) => a % b,
  "&": (a, b) => a & b,
  "|": (a, b) => a | b,
  "^": (a, b) => a ^ b,
  "<<": (a, b) => a << b,
  ">>": (a, b) => a >> b,
  ">>>": (a, b) => a >>> b,
  in: (a, b) => Object.hasOwn(b, a),
};

function value(node, scope) {
  switch (node.type) {
    case "ArrayExpression":
      return node.elements.map((element) => value(element, scope));
    case "ArrowFunctionExpression":
    case "FunctionExpression":
      return closure(node, scope);
    case "AssignmentExpression": {
      if (node.operator === "=") {
        const right = () => value(node.right, scope);
        return assign(node.left, right, scope);
      }
      const operator = BINARY[node.operator.slice(0, -1)];
      return assign(node.left, (old) => operator(old(), value(node.right, scope)), scope);
    }
    case "BinaryExpression":
      return BINARY[node.operator](value(node.left, scope), value(node.right, scope));
    case "CallExpression":
      return call(node, scope);
    case "ConditionalExpression":
      return value(value(node.test, scope) ? node.consequent : node.alternate, scope);
    case "Identifier":
      return place(node, scope).value;
    case "Literal":
      return node.value;
    case "LogicalExpression": {
      const left = value(node.left, scope);
      return (node.operator === "&&") === Boolean(left) ? value(node.right, scope) : left;
    }
    case "MemberExpression":
      return member(value(node.object, scope), keyOf(node, scope), node);
    case "ObjectExpression": {
      const object = {};
      for (const { key, value: held } of node.properties) object[key.name ?? key.value] = value(held, scope);
      return object;
    }
    case "SequenceExpression":
      return node.expressions.map((expression) => value(expression, scope)).at(-1);
    case "UnaryExpression": {
      if (node.operator === "typeof" && node.argument.type === "Identifier" && !scope.find(node.argument.name)) return "undefined";
      const operand = value(node.argument, scope);
      return { "!": () => !operand, "-": () => -operand, "+": () => +operand, "~": () => ~operand, void: () => undefined, typeof: () => typeof operand }[
        node.operator
      ]();
    }
    case "UpdateExpression": {
      let before;
      const step = node.operator === "++" ? 1 : -1;
      const after = assign(node.argument, (old) => (before = old()) + step, scope);
      return node.prefix ? after : before;
    }
    default:
      return refuse(`${node.type} does not exist`, node);
  }
}
