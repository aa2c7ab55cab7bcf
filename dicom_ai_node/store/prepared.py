"""Statements of the busiest path, compiled once and run on the cursor of the driver.

For a few rows SQLAlchemy's execution takes several times as long as the database does. What it
would do to values and errors is done here as well, by its own parts.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import BindParameter, Connection, Dialect, Table, Text, bindparam, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import SelectBase, UpdateBase
from sqlalchemy.types import TypeEngine

Statement = SelectBase | UpdateBase
_Convert = Callable[[Any], Any] | None


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A statement as one driver takes it: its parameters, and the columns that it returns.

    Each has with it what makes a value of the driver of ours, or of ours of the driver's.
    """

    sql: str
    parameters: tuple[tuple[str, _Convert], ...]
    columns: tuple[tuple[str, Any], ...]
    is_positional: bool

    def arguments(self, values: Mapping[str, Any]) -> Any:  # noqa: ANN401 - whatever it takes
        """Return `values` as the driver takes them."""
        made = [
            values[name] if convert is None else convert(values[name])
            for name, convert in self.parameters
        ]
        if self.is_positional:
            return made
        return {name: value for (name, _), value in zip(self.parameters, made, strict=True)}

    def row(self, found: Sequence[Any]) -> dict[str, Any]:
        """Return what the driver has found, by the names of the columns."""
        return {
            name: value if convert is None else convert(value)
            for (name, convert), value in zip(self.columns, found, strict=True)
        }


class Prepared:
    """A statement on its way to be run many times.

    Parameters
    ----------
    make
        Returns it, given by name the parameters of each of its lists, for `in_`.
    """

    def __init__(self, make: Callable[..., Statement]) -> None:
        self._make = make
        self._compiled: dict[tuple[str, tuple[tuple[str, int], ...]], _Compiled] = {}

    def rows(self, connection: Connection, **lists: Sequence[str]) -> list[dict[str, Any]]:
        """Return what a query finds, given its lists; none may be empty."""
        padded = {name: _padded(values) for name, values in lists.items()}
        compiled = self._for(connection.dialect, **{name: len(it) for name, it in padded.items()})
        values = {
            _member(name, number): value
            for name, some in padded.items()
            for number, value in enumerate(some)
        }
        with _translated(connection, compiled.sql):
            cursor = connection.connection.cursor()
            cursor.execute(compiled.sql, compiled.arguments(values))
            found = cursor.fetchall()
            cursor.close()
        return [compiled.row(one) for one in found]

    def write(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write rows; none is fine."""
        if not rows:
            return
        compiled = self._for(connection.dialect)
        with _translated(connection, compiled.sql):
            cursor = connection.connection.cursor()
            cursor.executemany(compiled.sql, [compiled.arguments(row) for row in rows])
            cursor.close()

    def _for(self, dialect: Dialect, **sizes: int) -> _Compiled:
        key = dialect.name, tuple(sizes.items())
        if key not in self._compiled:
            lists = {name: _listed(name, size) for name, size in sizes.items()}
            self._compiled[key] = _compiled(self._make(**lists), dialect)
        return self._compiled[key]


def into(table: Table, *names: str) -> Prepared:
    """Return what inserts rows that have a value for each of these columns."""
    return Prepared(
        lambda: insert(table).values({name: bindparam(name) for name in names}).inline()
    )


def _listed(name: str, size: int) -> list[BindParameter[str]]:
    return [bindparam(_member(name, number), type_=Text) for number in range(size)]


def _member(name: str, number: int) -> str:
    return f"{name}_{number}"


def _padded(values: Sequence[str]) -> list[str]:
    """Return a list as long as a power of two, so that few statements do for all lists."""
    size = 1 << (len(values) - 1).bit_length()
    return [*values, *[values[-1]] * (size - len(values))]


def _compiled(statement: Statement, dialect: Dialect) -> _Compiled:
    compiled = statement.compile(dialect=dialect)
    assert isinstance(compiled, SQLCompiler)  # noqa: S101 - whatever is no DDL
    names = compiled.positiontup if compiled.positional else list(compiled.binds)
    columns = statement.selected_columns if isinstance(statement, SelectBase) else ()
    return _Compiled(
        sql=compiled.string,
        parameters=tuple(
            (name, _of(compiled.binds[name].type, dialect).bind_processor(dialect))
            for name in names or ()
        ),
        columns=tuple(
            (str(column.key), _of(column.type, dialect).result_processor(dialect, None))
            for column in columns
        ),
        is_positional=compiled.positional,
    )


def _of(kind: TypeEngine[Any], dialect: Dialect) -> TypeEngine[Any]:
    return kind.dialect_impl(dialect)


@contextmanager
def _translated(connection: Connection, sql: str) -> Iterator[None]:
    """Raise what SQLAlchemy would; parameters stay out of it."""
    error_of_driver = connection.dialect.loaded_dbapi.Error
    try:
        yield
    except error_of_driver as error:
        raise DBAPIError.instance(
            sql, None, error, error_of_driver, hide_parameters=True, dialect=connection.dialect
        ) from error
