"""How the arguments of a task are rendered and judged, the same in every operator and sensor.

What is not templated is judged in the constructor, so that a DAG with a mistake does not import. What is
templated is judged whole at the start of ``execute``, before any call to AWS.

Templates render to text, whatever the DAG says of native objects: as a native object the partition ``00``
would be the number 0, which is another partition. A list in an XCom stays one where a list is meant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import AirflowFailException, conf
from botocore.config import Config

from airflow_quilt_athena.core.arguments import Judge, optional, read_arguments, refusal, seconds, text
from airflow_quilt_athena.core.names import connection, region
from airflow_quilt_athena.exceptions import InvalidCallError

if TYPE_CHECKING:
    import jinja2

_ATTRIBUTES = {"dry_run": "plan_only"}  # BaseOperator has a method dry_run
_FILE_SUFFIX = ".sql"
# Most queries are done by then, and cost no deferral.
DEFER_AFTER_SECONDS = 10.0


def default_deferrable() -> bool:
    """Return what the installation says of tasks that do not say themselves whether they defer."""
    return bool(conf.getboolean("operators", "default_deferrable", fallback=False))


def _verify(name: str, value: object) -> bool | str | None:
    expected = "True, False, or the path of a file of CA certificates"
    if value is None or isinstance(value, bool):
        return value
    found = text(name, value, expected)
    if found in {"True", "False"}:  # all that a template can give of them
        return found == "True"
    try:
        there = Path(found).exists()
    except (OSError, ValueError):  # no name that a file could have
        there = False
    if not there:
        raise refusal(name, value, f"{expected}; there is no such file here")
    return found


def _botocore_config(name: str, value: object) -> dict[str, Any] | None:
    expected = "a dictionary of the keyword arguments of botocore.config.Config"
    if value is None:
        return None
    if not isinstance(value, dict):
        raise refusal(name, value, expected)
    try:
        Config(**value)
    except Exception as error:  # botocore raises errors of many kinds for what it does not take
        raise InvalidCallError(f"{name} is {value!r}. Expected {expected}; botocore says: {error}") from error
    return value


AWS_ARGUMENTS: Mapping[str, Judge[Any]] = {
    "aws_conn_id": optional(connection),
    "region_name": optional(region),
    "verify": _verify,
    "botocore_config": _botocore_config,
}


# Airflow's own, of every sensor, and judged before Airflow sees them.
SENSOR_DURATIONS: Mapping[str, Judge[float]] = {
    "poke_interval": seconds(zero=True),
    "timeout": seconds(zero=True),
}


def judge_durations(given: dict[str, Any]) -> None:
    """Put what a sensor's durations mean, in seconds, in the place of what was given."""
    for name in SENSOR_DURATIONS.keys() & given.keys():
        given[name] = SENSOR_DURATIONS[name](name, given[name])


class JudgedTask:
    """An operator or sensor whose ``arguments`` says how each of its parameters is judged."""

    arguments: ClassVar[Mapping[str, Judge[Any]]] = AWS_ARGUMENTS
    template_fields: Sequence[str]
    # The one field whose text may be the name of a file. Airflow would look for files in all of them.
    file_field: ClassVar[str | None] = None

    def judge_constants(self) -> None:
        """Judge what is not templated; the last line of a constructor. Raises InvalidCallError."""
        self._judge(name for name in self.arguments if name not in self.template_fields)

    def judge_arguments(self) -> dict[str, Any]:
        """Judge everything; the first line of ``execute``. Return what each argument means, by name."""
        judged = self._judge(self.arguments)
        self.verify = judged["verify"]
        return judged

    def _judge(self, names: Any) -> dict[str, Any]:
        given = {name: getattr(self, _ATTRIBUTES.get(name, name)) for name in names}
        return read_arguments(self.arguments, given)

    # ----------------------------------------------------------------------------------------- templates

    def get_template_env(self, dag: Any = None) -> jinja2.Environment:
        """Return the environment that renders to text, with the DAG's macros, filters and folders."""
        dag = dag or self.get_dag()  # type: ignore[attr-defined]
        if dag is not None:
            return dag.get_template_env(force_sandboxed=True)  # type: ignore[no-any-return]
        from airflow.sdk.definitions._internal.templater import SandboxedEnvironment

        return SandboxedEnvironment(cache_size=0)  # type: ignore[no-untyped-call]  # Airflow's is untyped

    def render_template(
        self, content: Any, context: Any, jinja_env: Any = None, seen_oids: set[int] | None = None
    ) -> Any:
        """Render text to text, and what is inside of lists and mappings; resolve XComs to what they are."""
        if not isinstance(content, str) or (seen_oids and id(content) in seen_oids):
            return super().render_template(content, context, jinja_env, seen_oids)  # type: ignore[misc]
        from airflow.sdk.definitions.context import render_template_to_string
        from jinja2 import TemplateError
        from jinja2.nativetypes import NativeEnvironment

        if jinja_env is None or isinstance(jinja_env, NativeEnvironment):
            jinja_env = self.get_template_env()
        try:
            return render_template_to_string(jinja_env.from_string(content), context)
        except TemplateError as error:
            raise AirflowFailException(_explain(content, error)) from error

    def resolve_template_files(self) -> None:
        """Read the file that the query names, if it names one; no other text is taken for a file's name."""
        if self.file_field is not None:
            content = getattr(self, self.file_field, None)
            if isinstance(content, str):
                setattr(self, self.file_field, self._read_file(content))
            elif isinstance(content, list):
                setattr(self, self.file_field, [self._read_file(item) for item in content])
        self.prepare_template()  # type: ignore[attr-defined]

    def _do_render_template_fields(self, parent: Any, *arguments: Any, **named: Any) -> None:
        # Where a mapped task comes by as well. Files that are not read yet are those of a task that was not
        # parsed from a DAG file, and of a mapped one.
        if parent is self:
            try:
                self.resolve_template_files()
            except InvalidCallError as error:
                raise AirflowFailException(str(error)) from error
        super()._do_render_template_fields(parent, *arguments, **named)  # type: ignore[misc]

    def _read_file(self, content: Any) -> Any:
        if not isinstance(content, str) or not names_file(content):
            return content
        from jinja2 import TemplateNotFound

        env = self.get_template_env()
        try:
            if env.loader is None:
                raise TemplateNotFound(content)
            source: str = env.loader.get_source(env, content)[0]
        except (TemplateNotFound, UnicodeDecodeError) as error:
            folders = ", ".join(getattr(env.loader, "searchpath", ())) or "none: the task has no DAG"
            why = "is not UTF-8" if isinstance(error, UnicodeDecodeError) else "is not there"
            raise InvalidCallError(
                f"{self.file_field} names file {content!r}, which {why}; looked into {folders}. Expected "
                "a file below the DAG's folder or its template_searchpath, or a statement."
            ) from error
        return source.removeprefix("\ufeff")


def names_file(content: str) -> bool:
    """Whether text is the name of a file of SQL: one line, without blanks, that ends in ``.sql``.

    >>> names_file("daily/orders.sql"), names_file("SELECT 1 -- see orders.sql"), names_file("{{ f }}.sql")
    (True, False, False)
    """
    return content.endswith(_FILE_SUFFIX) and not any(c.isspace() for c in content) and "{" not in content


def _explain(content: str, error: Exception) -> str:
    text_shown = content if len(content) <= 200 else f"{content[:200]}…"
    hint = ""
    if "'ds" in str(error) or "'ts" in str(error) or "'logical_date'" in str(error):
        hint = (
            " Runs without a logical date have no such name: leave `partition` out, or use "
            "{{ partition_key }} or {{ run_id }}."
        )
    return f"The template {text_shown!r} cannot be rendered: {error}.{hint}"
