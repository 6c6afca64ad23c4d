"""Trino's functions on text, regular expressions, URLs and binaries, as DuckDB SQL."""

from __future__ import annotations

import re

from local_athena.duck.errors import failed, unsupported
from local_athena.duck.functions.regex_groups import find_group
from local_athena.duck.functions.signatures import FunctionCall, Signature, parse_signature, parse_table
from local_athena.duck.values.snippets import ensure, fill, text

_WHITE = "(' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(5760) || chr(8232) || chr(8233))"
_SUBSTRING = "CASE WHEN {1} = 0 OR abs({1}) > length({0}) THEN '' ELSE substr({0}, {1}) END"
_SUBSTRING_FOR = (
    "CASE WHEN {1} = 0 OR abs({1}) > length({0}) OR {2} <= 0 THEN '' ELSE substr({0}, {1}, {2}) END"
)


def _invalid(bad: str, message: str, value: str) -> str:
    return ensure(bad, text(f"INVALID_FUNCTION_ARGUMENT: {message}"), value)


_PADDED = (
    "CASE WHEN {{1}} <= length({{0}}) THEN substr({{0}}, 1, {{1}}) "
    "ELSE {}({{0}}, CAST({{1}} AS INTEGER), {{2}}) END"
)
_LPAD = _invalid("{2} = ''", "Padding string must not be empty", _PADDED.format("lpad"))
_RPAD = _invalid("{2} = ''", "Padding string must not be empty", _PADDED.format("rpad"))
_SPLIT = _invalid("{1} = ''", "The delimiter may not be the empty string", "string_split({0}, {1})")
_SPLIT_LIMIT = _invalid(
    "{2} <= 0",
    "Limit must be positive",
    "CASE WHEN len(string_split({0}, {1})) <= {2} THEN string_split({0}, {1}) ELSE list_append("
    "string_split({0}, {1})[1:{2} - 1], array_to_string(string_split({0}, {1})[{2}:], {1})) END",
)
_SPLIT_PART = _invalid(
    "{2} < 1",
    "Index must be greater than zero",
    "CASE WHEN {1} = '' THEN substr({0}, {2}, 1) ELSE string_split({0}, {1})[{2}] END",
)
_STRPOS = _invalid(
    "{2} = 0",
    "'instance' must be a positive or negative number.",
    "CASE WHEN {0} IS NOT NULL AND {1} IS NOT NULL AND {2} IS NOT NULL THEN CASE WHEN {1} = '' THEN 1 ELSE "
    "coalesce(list_filter(range(1, length({0}) + 1), lambda i: substr({0}, i, length({1})) = {1})[{2}], 0) "
    "END END",
)
_SPLIT_MAP = (
    "map_from_entries(list_transform(list_filter(string_split({0}, {1}), lambda p: p <> ''), "
    "lambda p: struct_pack("
    '"key" := split_part(p, {2}, 1), "value" := substr(p, instr(p, {2}) + length({2})))))'
)
_DECODED = ensure(
    "regexp_matches({0}, '%($|.$|[^0-9a-fA-F]|[0-9a-fA-F][^0-9a-fA-F])')",
    "concat('INVALID_FUNCTION_ARGUMENT: URLDecoder: Illegal hex characters in escape (%) pattern in: ', {0})",
    "url_decode(replace({0}, '+', ' '))",
)
_ENCODED = "replace(replace(replace(url_encode({0}), '%20', '+'), '~', '%7E'), '%2A', '*')"
_URI = r"^(?:([^:/?#]+):)?(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$"
_AUTHORITY = f"regexp_extract({{0}}, {text(_URI)}, 2)"
_HOST = rf"regexp_extract({_AUTHORITY}, '^(?:[^@]*@)?(.*?)(?::[0-9]*)?$', 1)"
_PARAMETERS = f"string_split(regexp_extract({{0}}, {text(_URI)}, 4), '&')"
_PARAMETER = f"list_filter({_PARAMETERS}, lambda p: split_part(p, '=', 1) = {{1}})[1]"
_HEX = ensure(
    "NOT regexp_full_match({0}, '([0-9a-fA-F][0-9a-fA-F])*')",
    "concat('INVALID_FUNCTION_ARGUMENT: Invalid input for from_hex: ', {0})",
    "unhex({0})",
)

_TABLE = f"""
length(varchar) -> bigint := length({{0}})
length(varbinary) -> bigint := octet_length({{0}})
lower(varchar(x)) -> varchar(x) := lower({{0}})
lower(char(x)) -> char(x) := lower({{0}})
upper(varchar(x)) -> varchar(x) := upper({{0}})
upper(char(x)) -> char(x) := upper({{0}})
trim(varchar(x)) -> varchar(x) := trim({{0}}, {_WHITE})
ltrim(varchar(x)) -> varchar(x) := ltrim({{0}}, {_WHITE})
rtrim(varchar(x)) -> varchar(x) := rtrim({{0}}, {_WHITE})
trim(varchar(x), varchar) -> varchar(x) := trim({{0}}, {{1}})
ltrim(varchar(x), varchar) -> varchar(x) := ltrim({{0}}, {{1}})
rtrim(varchar(x), varchar) -> varchar(x) := rtrim({{0}}, {{1}})
substr(varchar(x), bigint) -> varchar(x) := {_SUBSTRING}
substr(varchar(x), bigint, bigint) -> varchar(x) := {_SUBSTRING_FOR}
substring(varchar(x), bigint) -> varchar(x) := {_SUBSTRING}
substring(varchar(x), bigint, bigint) -> varchar(x) := {_SUBSTRING_FOR}
substr(varbinary, bigint) -> varbinary := unhex(substr(hex({{0}}), {{1}} * 2 - 1))
substr(varbinary, bigint, bigint) -> varbinary := unhex(substr(hex({{0}}), {{1}} * 2 - 1, {{2}} * 2))
replace(varchar, varchar) -> varchar := replace({{0}}, {{1}}, '')
replace(varchar, varchar, varchar) -> varchar := CASE WHEN {{1}} = '' THEN
  array_to_string(list_concat([''], list_concat(string_split({{0}}, ''), [''])), {{2}})
  ELSE replace({{0}}, {{1}}, {{2}}) END
reverse(varchar(x)) -> varchar(x) := array_to_string(list_reverse(regexp_extract_all({{0}}, '(?s).')), '')
lpad(varchar, bigint, varchar) -> varchar := {_LPAD}
rpad(varchar, bigint, varchar) -> varchar := {_RPAD}
strpos(varchar, varchar) -> bigint := instr({{0}}, {{1}})
strpos(varchar, varchar, bigint) -> bigint := {_STRPOS}
starts_with(varchar, varchar) -> boolean := starts_with({{0}}, {{1}})
ends_with(varchar, varchar) -> boolean := ends_with({{0}}, {{1}})
split(varchar(x), varchar) -> array(varchar(x)) := {_SPLIT}
split(varchar(x), varchar, bigint) -> array(varchar(x)) := {_SPLIT_LIMIT}
split_part(varchar(x), varchar, bigint) -> varchar(x) := {_SPLIT_PART}
split_to_map(varchar, varchar, varchar) -> map(varchar, varchar) := {_SPLIT_MAP}
translate(varchar, varchar, varchar) -> varchar := translate({{0}}, {{1}}, {{2}})
concat_ws(varchar, array(varchar)) -> varchar := array_to_string({{1}}, {{0}})
concat_ws(varchar, varchar...) -> varchar := concat_ws(ARGUMENTS)
chr(bigint) -> varchar(x) := chr(CAST({{0}} AS INTEGER))
codepoint(varchar) -> integer := unicode({{0}})
levenshtein_distance(varchar, varchar) -> bigint := levenshtein({{0}}, {{1}})
hamming_distance(varchar, varchar) -> bigint := hamming({{0}}, {{1}})
luhn_check(varchar) -> boolean := (list_sum(list_transform(list_reverse(string_split({{0}}, '')), lambda d, i:
  CASE WHEN i % 2 = 1 THEN CAST(d AS INTEGER) WHEN CAST(d AS INTEGER) > 4 THEN CAST(d AS INTEGER) * 2 - 9
  ELSE CAST(d AS INTEGER) * 2 END)) % 10 = 0)
url_encode(varchar) -> varchar := {_ENCODED}
url_decode(varchar) -> varchar := {_DECODED}
url_extract_protocol(varchar) -> varchar := regexp_extract({{0}}, {text(_URI)}, 1)
url_extract_host(varchar) -> varchar := {_HOST}
url_extract_port(varchar) -> bigint := TRY_CAST(regexp_extract({_AUTHORITY}, ':([0-9]+)$', 1) AS BIGINT)
url_extract_path(varchar) -> varchar := url_decode(regexp_extract({{0}}, {text(_URI)}, 3))
url_extract_query(varchar) -> varchar := url_decode(regexp_extract({{0}}, {text(_URI)}, 4))
url_extract_fragment(varchar) -> varchar := url_decode(regexp_extract({{0}}, {text(_URI)}, 5))
url_extract_parameter(varchar, varchar) -> varchar := CASE WHEN {_PARAMETER} LIKE '%=%' THEN
  url_decode(substr({_PARAMETER}, instr({_PARAMETER}, '=') + 1)) WHEN {_PARAMETER} IS NOT NULL THEN '' END
to_utf8(varchar) -> varbinary := encode({{0}})
from_utf8(varbinary) -> varchar := decode({{0}})
to_hex(varbinary) -> varchar := hex({{0}})
from_hex(varchar) -> varbinary := {_HEX}
to_base64(varbinary) -> varchar := base64({{0}})
from_base64(varchar) -> varbinary := from_base64({{0}})
to_base64url(varbinary) -> varchar := translate(base64({{0}}), '+/', '-_')
from_base64url(varchar) -> varbinary := from_base64(translate({{0}}, '-_', '+/'))
md5(varbinary) -> varbinary := unhex(md5({{0}}))
sha1(varbinary) -> varbinary := unhex(sha1({{0}}))
sha256(varbinary) -> varbinary := unhex(sha256({{0}}))
reverse(varbinary) -> varbinary :=
  unhex(array_to_string(list_reverse(regexp_extract_all(hex({{0}}), '..')), ''))
bar(double, bigint) -> varchar := repeat('█', CAST(round({{0}} * {{1}}) AS INTEGER))
"""

# --- regular expressions: Java's syntax, run by RE2 ---

_NOT_IN_RE2 = re.compile(r"\(\?<?[=!]|\(\?>|(?<!\\)(?:\\\\)*\\(?:[1-9]|k<|G|R|X|h|H)|(?<!\\)[*+?}]\+|&&\[")


def java_pattern(pattern: str, node: object) -> str:
    """Return a Java regular expression for RE2. Raises QueryFailed for what RE2 lacks."""
    found = _NOT_IN_RE2.search(pattern)
    if found is not None:
        kinds = "look-around, back-reference or possessive"
        raise unsupported(node, f"'{found.group(0)}' of the regular expression '{pattern}' ({kinds})")
    pattern = re.sub(r"(?<!\\)\(\?<([A-Za-z])", r"(?P<\1", pattern)
    pattern = re.sub(r"\\u([0-9a-fA-F]{4})", r"\\x{\1}", pattern)
    return pattern.replace(r"\Z", r"\z")


def _pattern(call: FunctionCall, index: int = 1) -> str:
    literal = call.literals[index]
    return text(java_pattern(literal, call.node)) if isinstance(literal, str) else call.arguments[index]


def _groups(call: FunctionCall) -> int | None:
    literal = call.literals[1]
    if not isinstance(literal, str):
        return None
    try:
        return re.compile(java_pattern(literal, call.node)).groups
    except re.error:
        return None


def _group(call: FunctionCall) -> str:
    if len(call.arguments) < 3:
        return "0"
    number, groups = call.literals[2], _groups(call)
    if not isinstance(number, int):
        raise unsupported(call.node, "A group of a regular expression that is not a literal")
    if number < 0 or (groups is not None and number > groups):
        message = f"Pattern has {groups} groups. Cannot access group {number}"
        raise failed("INVALID_FUNCTION_ARGUMENT", call.node, message)
    return str(number)


def _regexp_like(call: FunctionCall) -> str:
    return f"regexp_matches({call.arguments[0]}, {_pattern(call)})"


def _regexp_extract(call: FunctionCall) -> str:
    pattern, group = _pattern(call), _group(call)
    template = f"CASE WHEN regexp_matches({{0}}, {{1}}) THEN regexp_extract({{0}}, {{1}}, {group}) END"
    if _never_empty(call, group):
        template = f"nullif({template}, '')"
    return fill(template, [call.arguments[0], pattern])


def _never_empty(call: FunctionCall, group: str) -> bool:
    """Tell whether RE2's empty text can only mean that the group took no part, which is NULL in Java."""
    if group == "0" or not isinstance(call.literals[1], str):
        return False
    found = find_group(java_pattern(call.literals[1], call.node), int(group))
    try:
        may_be_empty = re.fullmatch(found.inside, "") is not None
    except re.error:  # a class that Python's expressions have no word for
        may_be_empty = True
    if may_be_empty and found.in_a_choice:
        what = f"Group {group} of '{call.literals[1]}', which may be empty and may take no part,"
        raise unsupported(call.node, what)
    return not may_be_empty


def _regexp_extract_all(call: FunctionCall) -> str:
    group = _group(call)
    found = f"regexp_extract_all({call.arguments[0]}, {_pattern(call)}, {group})"
    return f"list_transform({found}, lambda one: nullif(one, ''))" if _never_empty(call, group) else found


def _regexp_replace(call: FunctionCall) -> str:
    if len(call.arguments) < 3:
        replacement = "''"
    elif isinstance(call.literals[2], str):
        replacement = text(_java_replacement(call.literals[2], call))
    else:
        raise unsupported(call.node, "A replacement that is not a literal in regexp_replace")
    return f"regexp_replace({call.arguments[0]}, {_pattern(call)}, {replacement}, 'g')"


def _regexp_replace_by(call: FunctionCall) -> str:
    raise unsupported(call.node, "A function in regexp_replace")


def _java_replacement(written: str, call: FunctionCall) -> str:
    r"""Write Java's replacement for RE2: ``$1`` and ``\$`` become ``\1`` and ``$``."""
    result, at = "", 0
    while at < len(written):
        found = re.match(r"\$(\d)|\$\{(\w+)\}|\\(.)|(.)", written[at:], re.DOTALL)
        if found is None:
            raise failed("INVALID_FUNCTION_ARGUMENT", call.node, f"Illegal replacement sequence: {written}")
        group, label, escaped, plain = found.groups()
        if label is not None:
            group = _named_group(label, call)
        if plain == "$":
            raise failed("INVALID_FUNCTION_ARGUMENT", call.node, f"Illegal replacement sequence: {written}")
        literal = escaped if escaped is not None else plain
        result += f"\\{group}" if group is not None else literal.replace("\\", "\\\\")
        at += found.end()
    return result


def _named_group(label: str, call: FunctionCall) -> str:
    names = re.compile(java_pattern(str(call.literals[1]), call.node)).groupindex
    if label not in names:
        raise failed("INVALID_FUNCTION_ARGUMENT", call.node, f"unknown group {{ {label} }}")
    return str(names[label])


def _regexp_split(call: FunctionCall) -> str:
    return f"regexp_split_to_array({call.arguments[0]}, {_pattern(call)})"


def _regexp_count(call: FunctionCall) -> str:
    return f"len(regexp_extract_all({call.arguments[0]}, {_pattern(call)}))"


def _regexp_position(call: FunctionCall) -> str:
    found = "CASE WHEN regexp_matches({0}, {1}) THEN instr({0}, regexp_extract({0}, {1})) ELSE -1 END"
    return fill(found, [call.arguments[0], _pattern(call)])


def _char_length(call: FunctionCall) -> str:
    return fill(f"CASE WHEN {{0}} IS NOT NULL THEN {call.types[0].parameters[0]} END", [call.arguments[0]])


def _normalize(call: FunctionCall) -> str:
    return f"nfc_normalize({call.arguments[0]})"


def signatures() -> list[Signature]:
    """All of them."""
    found = parse_table(_TABLE)
    for head, body in (
        ("length(char(x)) -> bigint", _char_length),
        ("regexp_like(varchar, varchar) -> boolean", _regexp_like),
        ("regexp_extract(varchar(x), varchar) -> varchar(x)", _regexp_extract),
        ("regexp_extract(varchar(x), varchar, bigint) -> varchar(x)", _regexp_extract),
        ("regexp_extract_all(varchar(x), varchar) -> array(varchar(x))", _regexp_extract_all),
        ("regexp_extract_all(varchar(x), varchar, bigint) -> array(varchar(x))", _regexp_extract_all),
        ("regexp_replace(varchar, varchar) -> varchar", _regexp_replace),
        ("regexp_replace(varchar, varchar, varchar) -> varchar", _regexp_replace),
        ("regexp_replace(varchar, varchar, function(array(varchar),varchar)) -> varchar", _regexp_replace_by),
        ("regexp_split(varchar(x), varchar) -> array(varchar(x))", _regexp_split),
        ("regexp_count(varchar, varchar) -> bigint", _regexp_count),
        ("regexp_position(varchar, varchar) -> integer", _regexp_position),
        ("normalize(varchar) -> varchar", _normalize),
    ):
        found.append(parse_signature(head, body))
    return found
