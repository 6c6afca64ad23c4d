"""Glue's partition expressions. Pure: text and key types in, a test of partition values out.

Operators: ``=  <>  >  <  >=  <=  AND  OR  NOT  IN  BETWEEN  LIKE  IS NULL`` (Glue web API, GetPartitions,
read 2026-11). What is not in that list is refused.

NULL: ``IS NULL`` finds nothing and ``IS NOT NULL`` everything, whatever the documentation says
(trinodb/trino issue 13150, aws/aws-sdk issue 670). The NULL partition of a text key is found by its name,
``= '__HIVE_DEFAULT_PARTITION__'``, which for other types is refused.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

Test = Callable[[Sequence[str]], bool]

HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
# JSqlParser, by which Glue reads expressions, takes none of these for a key's name (Trino's
# GlueExpressionUtil, read 2026-11).
_RESERVED = frozenset(
    """
    all and any as asc begin between by case create delete desc distinct do drop else end escape exists from
    full group having in index inner insert intersect into is join key left like limit natural not null offset
    on open or order outer primary replace right select set some table then top truncate union update using
    values when where with
    """.split()  # noqa: SIM905  # a paragraph reads better than sixty lines
)
_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?(?![\w.]))|(?P<word>[A-Za-z0-9_.$]+)"
    r"|(?P<symbol><>|>=|<=|!=|[=<>(),])|(?P<quoted>\"[^\"]*\"|`[^`]*`))"
)
_COMPARE = {
    "=": operator.eq,
    "<>": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_WHOLE = frozenset({"tinyint", "smallint", "int", "integer", "bigint", "long"})
_TEXT = frozenset({"string", "char", "varchar"})


class FilterError(ValueError):
    """The expression is not one Glue takes."""


def parse_filter(expression: str, key_types: Mapping[str, str]) -> Test:
    """Read an expression over partition keys given in order, with their Hive types."""
    parser = _Parser(expression, key_types)
    test = parser.either()
    parser.end()
    return test


def read_value(text: str, hive_type: str) -> Any:
    """Read a value as its key's type, so that 2 comes before 10 where the key is a number."""
    base = hive_type.lower().partition("(")[0].strip()
    try:
        if base in _TEXT:
            return text
        if base in _WHOLE:
            return int(text)
        if base == "decimal":
            return Decimal(text)
        if base == "date":
            return date.fromisoformat(text)
        if base == "timestamp":
            return datetime.fromisoformat(text)
    except (ValueError, InvalidOperation) as error:
        raise FilterError(f"{text!r} is not a {base}.") from error
    raise FilterError(f"Unknown type : '{hive_type}'")


class _Parser:
    """Recursive descent; every method eats what it reads and returns a test."""

    def __init__(self, expression: str, key_types: Mapping[str, str]) -> None:
        self._expression = expression
        self._keys = {name.lower(): (i, kind) for i, (name, kind) in enumerate(key_types.items())}
        self._tokens = self._tokenize()
        self._next = 0

    def _tokenize(self) -> list[tuple[str, str]]:
        tokens, position, text = [], 0, self._expression.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup == "quoted" or match["symbol"] == "!=":
                raise self._error()
            tokens.append((str(match.lastgroup), match[str(match.lastgroup)]))
            position = match.end()
        return tokens

    def _error(self) -> FilterError:
        return FilterError(f"Unsupported expression '{self._expression}'")

    def _peek(self) -> str:
        return self._tokens[self._next][1].upper() if self._next < len(self._tokens) else ""

    def _take(self, *wanted: str) -> bool:
        """Eat the next token if it is one of these words or symbols."""
        if self._next < len(self._tokens):
            kind, _ = self._tokens[self._next]
            if kind in ("word", "symbol") and self._peek() in wanted:
                self._next += 1
                return True
        return False

    def _need(self, wanted: str) -> None:
        if not self._take(wanted):
            raise self._error()

    def end(self) -> None:
        """Refuse what is left over."""
        if self._next < len(self._tokens):
            raise self._error()

    def either(self) -> Test:
        """Read ``a OR b OR …``."""
        tests = [self._both()]
        while self._take("OR"):
            tests.append(self._both())
        return tests[0] if len(tests) == 1 else lambda values: any(test(values) for test in tests)

    def _both(self) -> Test:
        tests = [self._single()]
        while self._take("AND"):
            tests.append(self._single())
        return tests[0] if len(tests) == 1 else lambda values: all(test(values) for test in tests)

    def _single(self) -> Test:
        if self._take("NOT"):
            return _negate(self._single())
        if self._peek() == "(":
            return self._bracketed()
        return self._condition(*self._key())

    def _bracketed(self) -> Test:
        """Read ``( … )`` around a test, or around a key alone: ``(dt) = '…'``."""
        start = self._next
        self._need("(")
        if self._next + 1 < len(self._tokens) and self._tokens[self._next + 1][1] == ")":
            self._next = start
            return self._condition(*self._key())
        test = self.either()
        self._need(")")
        return test

    def _key(self) -> tuple[int, str]:
        if self._take("("):
            found = self._key()
            self._need(")")
            return found
        if self._next >= len(self._tokens) or self._tokens[self._next][0] != "word":
            raise self._error()
        name = self._tokens[self._next][1].lower()
        if name in _RESERVED:
            raise self._error()
        if name not in self._keys:
            raise FilterError("Invalid partition expression!")
        self._next += 1
        return self._keys[name]

    def _condition(self, index: int, kind: str) -> Test:
        if self._take("IS"):
            negated = self._take("NOT")
            self._need("NULL")
            return lambda _: negated
        negated = self._take("NOT")
        fits = self._comparison(kind)
        is_text = _is_text(kind)

        def test(values: Sequence[str]) -> bool:
            text = values[index]
            return (is_text or text != HIVE_NULL) and fits(read_value(text, kind)) != negated

        return test

    def _comparison(self, kind: str) -> Callable[[Any], bool]:
        if self._take("IN"):
            return self._membership(kind)
        if self._take("BETWEEN"):
            low = self._literal(kind)
            self._need("AND")
            high = self._literal(kind)
            return lambda value: bool(low <= value <= high)
        if self._take("LIKE"):
            return self._likeness(kind)
        symbol = self._peek()
        if not self._take(*_COMPARE):
            raise self._error()
        compare, wanted = _COMPARE[symbol], self._literal(kind)
        return lambda value: bool(compare(value, wanted))

    def _membership(self, kind: str) -> Callable[[Any], bool]:
        self._need("(")
        wanted = [self._literal(kind)]
        while self._take(","):
            wanted.append(self._literal(kind))
        self._need(")")
        return lambda value: value in wanted

    def _likeness(self, kind: str) -> Callable[[Any], bool]:
        if not _is_text(kind):
            raise FilterError(f"{kind.capitalize()} data type doesn't support operation 'LIKE'")
        text = str(self._literal("string"))
        parts = [{"%": ".*", "_": "."}.get(c, re.escape(c)) for c in text]
        pattern = re.compile("".join(parts), re.DOTALL)
        return lambda value: pattern.fullmatch(value) is not None

    def _literal(self, kind: str) -> Any:
        if self._take("("):
            found = self._literal(kind)
            self._need(")")
            return found
        if self._next >= len(self._tokens):
            raise self._error()
        token_kind, text = self._tokens[self._next]
        if token_kind not in ("string", "number"):
            raise self._error()
        self._next += 1
        return read_value(text[1:-1].replace("''", "'") if token_kind == "string" else text, kind)


def _is_text(hive_type: str) -> bool:
    return hive_type.lower().partition("(")[0].strip() in _TEXT


def _negate(test: Test) -> Test:
    return lambda values: not test(values)
