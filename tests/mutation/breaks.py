"""Breaks: small changes of the source, each of which should make a test fail.

A break replaces the text of one node of the syntax tree. What cannot be seen from outside is left alone: log entries,
docstrings, annotations, assertions, representations and the wording of sentences.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, cast

Edit = tuple[str, ast.AST, str]
"""The kind of a break, the node to replace, and the text in its place."""
LOG_METHODS = {"debug", "info", "warning", "error", "flush"}
OPPOSITES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.GtE,
    ast.GtE: ast.Lt,
    ast.Gt: ast.LtE,
    ast.LtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
BOUNDARIES: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Div: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
TWINS = {
    name: twin
    for pair in (
        *(("min", "max"), ("any", "all"), ("startswith", "endswith"), ("removeprefix", "removesuffix")),
        *(("lstrip", "rstrip"), ("partition", "rpartition"), ("append", "extend"), ("find", "rfind")),
    )
    for name, twin in (pair, pair[::-1])
}


class Break(NamedTuple):
    """A break of a file, whose path is relative to the project. `start` and `end` count bytes."""

    file: str
    line: int
    kind: str
    start: int
    end: int
    text: str
    statement: tuple[int, int]
    """The first and the last line of the statement, or of its head where statements stand below it."""
    in_function: bool

    def apply(self, source: bytes) -> bytes:
        return source[: self.start] + self.text.encode() + source[self.end :]

    def describe(self, source: bytes) -> str:
        """The place, and the change as one line."""
        begin = source.rfind(b"\n", 0, self.start) + 1
        finish = len(source) if (found := source.find(b"\n", self.end)) < 0 else found
        before, old, after = (
            source[a:b].decode() for a, b in ((begin, self.start), (self.start, self.end), (self.end, finish))
        )
        changed = [" ".join(f"{before}{middle}{after}".split()) for middle in (old, self.text)]
        return f"{self.file}:{self.line}: {self.kind}\n    - {changed[0]}\n    + {changed[1]}"


def find_breaks(file: str, source: bytes) -> list[Break]:
    """All breaks of a file. A few are not Python, which `is_python` tells."""
    offsets = [0]
    for line in source.splitlines(keepends=True):
        offsets.append(offsets[-1] + len(line))
    found = []
    for place in visible_nodes(ast.parse(source)):
        for kind, node, text in _edits(place.node):
            replaced: Any = node
            start = offsets[replaced.lineno - 1] + replaced.col_offset
            end = offsets[replaced.end_lineno - 1] + replaced.end_col_offset
            found.append(Break(file, replaced.lineno, kind, start, end, text, place.statement, place.in_function))
    return found


def is_python(source: bytes) -> bool:
    """Whether it compiles."""
    try:
        compile(source, "", "exec")
    except SyntaxError:
        return False
    return True


# -------------------------------------------------------------------------------------------- what can be seen


class Place(NamedTuple):
    node: ast.AST
    statement: tuple[int, int]
    in_function: bool


def visible_nodes(tree: ast.Module) -> Iterator[Place]:
    """The nodes whose change can be seen from outside."""
    yield from _visible(tree, (1, 1), False)


def _visible(node: ast.AST, statement: tuple[int, int], in_function: bool) -> Iterator[Place]:
    if _is_unseen(node):
        return
    if isinstance(node, ast.stmt):
        statement = (node.lineno, _end_of_head(node))
    yield Place(node, statement, in_function)
    in_function = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _visible(child, statement, in_function)


def _end_of_head(node: ast.stmt) -> int:
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    if not body:
        return node.end_lineno or node.lineno
    first = body[0].pattern if isinstance(body[0], ast.match_case) else body[0]
    return max(node.lineno, first.lineno - 1)


def _is_unseen(node: ast.AST) -> bool:
    match node:
        case ast.Assert() | ast.JoinedStr() | ast.Import() | ast.ImportFrom():
            return True
        case ast.Expr(value=ast.Constant()):
            return True
        case ast.Call(func=ast.Attribute(value=owner, attr=method)) if method in LOG_METHODS:
            return ast.unparse(owner).endswith("log")
        case ast.Expr(value=ast.Call() as call):
            return _is_unseen(call)
        case (
            ast.Subscript(value=ast.Name(id="Callable")) | ast.Assign(value=ast.Subscript(value=ast.Name(id="Literal")))
        ):
            return True
        case ast.keyword(arg="strict", value=ast.Constant(value=True)):
            # Of zip: asserts that both are as long.
            return True
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.isupper():
            # A limit or a time is a decision, which tests set or take over.
            return all(map(_is_number, ast.walk(value)))
        case ast.FunctionDef(name="__repr__" | "__str__"):
            return True
        case ast.IfExp(body=body, orelse=orelse):
            return _is_wording(body) and _is_wording(orelse)
        case ast.Call(func=ast.Name(id="TypeVar" | "cast" | "NewType")):
            return True
        case ast.ClassDef(bases=bases):
            return any(ast.unparse(base).startswith("Protocol") for base in bases)
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def _is_number(node: ast.AST) -> bool:
    """Whether it is a number, or a part of one that is worked out."""
    return isinstance(node, ast.BinOp | ast.operator) or (
        isinstance(node, ast.Constant) and type(node.value) in (int, float)
    )


def _is_wording(node: ast.AST) -> bool:
    """Whether it is a part of a sentence: a text with a space, or one that is put together."""
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value
    )


# ------------------------------------------------------------------------------------------------------- kinds


def _edits(node: ast.AST) -> Iterator[Edit]:
    for kind in KINDS:
        yield from kind(node)


def _with(node: ast.AST, **fields: Any) -> str:
    """The source of the node with other fields."""
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return ast.unparse(changed)


def _comparisons(node: ast.AST) -> Iterator[Edit]:
    if not isinstance(node, ast.Compare) or len(node.ops) > 1:
        return
    [operator] = node.ops
    yield "comparison turned", node, _with(node, ops=[OPPOSITES[type(operator)]()])
    if boundary := BOUNDARIES.get(type(operator)):
        yield "boundary moved", node, _with(node, ops=[boundary()])


def _logic(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.BoolOp(op=operator, values=values):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield "and/or swapped", node, f"({_with(node, op=other)})"
            for value in values:
                left = [kept for kept in values if kept is not value]
                yield "operand left out", node, f"({_with(node, values=left)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield "not removed", node, f"({ast.unparse(operand)})"


def _branches(node: ast.AST) -> Iterator[Edit]:
    if not isinstance(node, ast.If | ast.IfExp | ast.While):
        return
    yield "branch never taken", node.test, "False"
    if not isinstance(node, ast.While):
        yield "branch always taken", node.test, "True"
    if not isinstance(node.test, ast.Compare | ast.BoolOp | ast.UnaryOp):
        yield "not added", node.test, f"not ({ast.unparse(node.test)})"


def _constants(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.Constant(value=bool(value)):
            yield "constant turned", node, repr(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield "number changed", node, repr(value + 1)
        case ast.Constant(value=str(value)) if " " not in value:
            # In its middle: a test may look at either end.
            yield "string changed", node, repr(f"{value[: len(value) // 2]}_broken_{value[len(value) // 2 :]}")
        case ast.Constant(value=bytes(value)):
            yield "string changed", node, repr(value + b"_broken")


def _statements(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.Expr(value=ast.Call()):
            yield "statement removed", node, "pass"
        case ast.Expr(value=ast.Await()):
            yield "awaited call skipped", node, "pass"
        case ast.Expr(value=ast.Yield(value=value)) if value is not None:
            yield "yield skipped", node, "if False: yield"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]) | ast.AugAssign():
            yield "assignment removed", node, "pass"
        case ast.Delete(targets=[ast.Subscript()]):
            yield "deletion removed", node, "pass"
        case ast.Break():
            yield "break turned to continue", node, "continue"
        case ast.Continue():
            yield "continue turned to break", node, "break"


def _ends(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.Return(value=None):
            yield "early return removed", node, "pass"
        case ast.Return(value=value) if not (isinstance(value, ast.Constant) and not value.value):
            yield "return value dropped", node, "return None"
        case ast.Raise():
            yield "exception not raised", node, "pass"


def _handlers(node: ast.AST) -> Iterator[Edit]:
    if isinstance(node, ast.ExceptHandler) and not isinstance(node.body[0], ast.Raise):
        yield "exception let through", _range(node.body), "raise"


def _range(statements: list[ast.stmt]) -> ast.AST:
    """One node in the place of all."""
    whole = copy.copy(statements[0])
    whole.end_lineno, whole.end_col_offset = statements[-1].end_lineno, statements[-1].end_col_offset
    return whole


def _calls(node: ast.AST) -> Iterator[Edit]:
    if not isinstance(node, ast.Call):
        return
    for keyword in node.keywords:
        if _is_unseen(keyword):
            continue
        yield "argument left out", node, _with(node, keywords=[kept for kept in node.keywords if kept is not keyword])
    if len(node.args) > 1:
        yield "argument left out", node, _with(node, args=node.args[:-1])
    function = node.func
    if isinstance(function, ast.Name) and function.id in TWINS:
        yield "call of its twin", function, TWINS[function.id]
    if isinstance(function, ast.Attribute) and function.attr in TWINS:
        yield "call of its twin", _name_of(function), TWINS[function.attr]


def _name_of(node: ast.Attribute) -> ast.AST:
    """The name behind the last dot, as a node of its own."""
    name: Any = copy.copy(node)
    name.lineno, name.col_offset = name.end_lineno, name.end_col_offset - len(node.attr)
    return cast(ast.AST, name)


def _collections(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.Dict(keys=keys, values=values):
            for number in range(len(keys)):
                rest = {"keys": keys[:number] + keys[number + 1 :], "values": values[:number] + values[number + 1 :]}
                yield "entry left out", node, _with(node, **rest)
        case ast.List(elts=elements, ctx=ast.Load()) | ast.Set(elts=elements) if len(elements) > 1:
            for element in elements:
                yield "element left out", node, _with(node, elts=[kept for kept in elements if kept is not element])


def _loops(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.For(iter=iterated):
            yield "loop never entered", iterated, "()"
        case ast.comprehension(ifs=conditions):
            for condition in conditions:
                yield "filter dropped", condition, "True"
        case ast.Slice(lower=lower, upper=upper):
            for bound in (lower, upper):
                if bound:
                    yield "bound dropped", bound, ""


def _arithmetic(node: ast.AST) -> Iterator[Edit]:
    match node:
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            yield "operator changed", node, f"({_with(node, op=OPERATORS[type(operator)]())})"
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            yield "sign changed", node, ast.unparse(operand)


KINDS: tuple[Callable[[ast.AST], Iterator[Edit]], ...] = (
    *(_comparisons, _logic, _branches, _constants, _statements, _ends, _handlers, _calls, _collections, _loops),
    _arithmetic,
)
