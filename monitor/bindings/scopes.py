"""The scopes of a statement, each query within another, and which tables in each are fenced by ids of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sqlglot
from sqlglot import exp
from sqlglot.errors import ParseError

from monitor.bindings.statements import SENTINELS, listed

_SHOWN = 120  # characters of a condition in an error


def parsed(sql: str) -> exp.Expression:
    """A statement as a tree. Raises ValueError that names the place where it cannot be read."""
    try:
        return sqlglot.parse_one(sql, dialect="postgres")
    except ParseError as error:
        first = error.errors[0] if error.errors else {}
        where = f" at line {first['line']}, column {first['col']}, by `{first['highlight']}`" if first else ""
        raise ValueError(f"cannot be read as SQL{where}: {first.get('description', error)}") from None


def shown(node: exp.Expression) -> str:
    """SQL of a part of a statement, on one line."""
    text = node.sql(dialect="postgres", comments=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


@dataclass(slots=True, kw_only=True)
class Source:
    """One thing that a query takes rows from. A table has to be fenced; anything else is what it was made of."""

    name: str
    table: str = ""
    fenced: bool = False


@dataclass(slots=True, kw_only=True)
class Condition:
    """What holds for all rows of some sources: it can fence these, and no others."""

    that: exp.Expression
    of: Sequence[Source]


@dataclass(slots=True, kw_only=True)
class Scope:
    """One query: its sources, what holds for them, and what is known of the queries around it."""

    known: Mapping[str, bool]
    outer: frozenset[str]
    sources: list[Source] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    laterals: list[exp.Expression] = field(default_factory=list)
    checked: list[exp.Expression] = field(default_factory=list)

    @property
    def around(self) -> frozenset[str]:
        """The names of what is fenced here and in the queries around."""
        return self.outer | {source.name for source in self.sources if source.fenced}

    def source_of(self, column: exp.Expression) -> Source | None:
        """Where a column comes from; None where that is not said."""
        if not isinstance(column, exp.Column):
            return None
        if not column.table:
            return self.sources[0] if len(self.sources) == 1 else None
        return next((source for source in self.sources if source.name == column.table.lower()), None)


class Fence:
    """Goes through a statement. `ids` are the parameters by which it can be fenced."""

    def __init__(self, *, ids: Sequence[str]) -> None:
        self._ids = ids

    def check(
        self, query: exp.Expression, known: Mapping[str, bool] | None = None, outer: frozenset[str] = frozenset()
    ) -> bool:
        """Whether all rows of a query come from what is ours. Raises ValueError where a table is not fenced."""
        if isinstance(query, exp.Subquery | exp.Paren):
            return self.check(query.this, known, outer)
        known = self._named(query, known or {}, outer)
        scope = Scope(known=known, outer=outer)
        match query:
            case exp.SetOperation():
                return all([self.check(query.this, known, outer), self.check(query.expression, known, outer)])
            case exp.Select():
                return self._select(query, scope)
            case exp.Values():
                self._within(query, scope)
                return all(_mentions(row) for row in query.expressions)
            case exp.Insert():
                return self._insert(query, scope)
            case exp.Update():
                self._take(query.this, scope)
                self._take_all(query.args.get("from_"), (), scope)
                return self._decide(query, scope)
            case exp.Delete():
                self._take(query.this, scope)
                for source in query.args.get("using") or ():
                    self._take(source, scope)
                return self._decide(query, scope)
            case _:
                what = query.key.upper()
                raise ValueError(f"{what} is not for a binding, which consists of SELECT, INSERT, UPDATE and DELETE")

    def _named(self, query: exp.Expression, known: Mapping[str, bool], outer: frozenset[str]) -> Mapping[str, bool]:
        """The queries that WITH gives names to, and whether each is fenced."""
        if (clause := query.args.get("with_")) is None:
            return known
        found = dict(known)
        for named in clause.expressions:
            if clause.recursive:
                found[named.alias.lower()] = True  # as its first part is, which is looked at here, too
            found[named.alias.lower()] = self.check(named.this, found, outer)
        return found

    def _select(self, query: exp.Select, scope: Scope) -> bool:
        if query.args.get("into"):
            raise ValueError("SELECT INTO makes a table; leave INTO out")
        self._take_all(query.args.get("from_"), query.args.get("joins") or (), scope)
        for lateral in query.args.get("laterals") or ():
            self._take(lateral, scope)
        fenced = self._decide(query, scope)
        return fenced if scope.sources else any(_mentions(each) for each in query.expressions)

    def _insert(self, query: exp.Insert, scope: Scope) -> bool:
        rows = query.expression
        if not isinstance(rows, exp.Expression):
            raise ValueError(f"inserts what says not whose it is; give a column one of {listed(self._ids)}")
        ours = self.check(rows, scope.known, scope.outer)
        if not ours and not (isinstance(rows, exp.Select) and any(_mentions(each) for each in rows.expressions)):
            raise ValueError(f"inserts a row without an id of Holdfast's own; give it one of {listed(self._ids)}")
        scope.checked.append(rows)
        self._conflict(query, rows, scope)
        self._within(query, scope)
        return True

    def _conflict(self, query: exp.Insert, rows: exp.Expression, scope: Scope) -> None:
        """What ON CONFLICT changes must be ours: by a key that holds an id of ours, or by its WHERE."""
        conflict = query.args.get("conflict")
        if conflict is None or "UPDATE" not in str(conflict.args.get("action")).upper():
            return
        target = query.this.this if isinstance(query.this, exp.Schema) else query.this
        columns = [each.name for each in query.this.expressions] if isinstance(query.this, exp.Schema) else []
        keys = {
            key.this.name if isinstance(key, exp.Ordered) else key.name for key in conflict.args["conflict_keys"] or ()
        }
        lines = [row.expressions for row in rows.expressions] if isinstance(rows, exp.Values) else [rows.expressions]
        for place, column in enumerate(columns):
            if column in keys and all(len(line) > place and _is_sentinel(line[place]) for line in lines):
                return
        own = Source(name=(target.alias or target.name).lower(), table=target.name)
        inner = Scope(known=scope.known, outer=scope.outer, sources=[own, Source(name="excluded")])
        if (where := conflict.args.get("where")) is not None:
            inner.conditions = [Condition(that=each, of=[own]) for each in _all_of(where.this)]
            self._spread(inner)
        if not own.fenced:
            key = f"({', '.join(sorted(keys))})" if keys else "its constraint"
            raise ValueError(
                f"ON CONFLICT {key} DO UPDATE could change somebody else's row of {own.table}: no column of the key is"
                f" given an id of ours; add WHERE {own.name}.… = :user_id to it, or use DO NOTHING"
            )

    def _take_all(self, first: exp.From | None, joins: Iterable[exp.Join], scope: Scope) -> None:
        """The sources of FROM and its joins, and what their ON says."""
        if first is None:
            return
        start = len(scope.sources)
        self._take(first.this, scope)
        self._join(joins, scope, start)

    def _join(self, joins: Iterable[exp.Join], scope: Scope, start: int) -> None:
        for join in joins:
            left = scope.sources[start:]
            self._take(join.this, scope)
            right = scope.sources[start + len(left) :]
            of = {"LEFT": right, "RIGHT": left, "FULL": []}.get(join.side.upper(), [*left, *right])
            if on := join.args.get("on"):
                scope.conditions += [Condition(that=each, of=of) for each in _all_of(on)]
            if join.args.get("using") and len(left) == len(right) == 1:
                (a,), (b,) = left, right
                same = exp.EQ(this=exp.column("same", table=a.name), expression=exp.column("same", table=b.name))
                scope.conditions.append(Condition(that=same, of=of))

    def _take(self, node: exp.Expression, scope: Scope) -> None:
        """One source of a query, with what is joined to it in parentheses."""
        start = len(scope.sources)
        name = node.alias_or_name.lower()
        match node:
            case exp.Table(this=exp.Identifier()) if not node.db and node.name.lower() in scope.known:
                scope.sources.append(Source(name=name, fenced=scope.known[node.name.lower()]))
            case exp.Table(this=exp.Identifier()):
                table = f"{node.db}.{node.name}" if node.db else node.name
                scope.sources.append(Source(name=name, table=table))
            case exp.Subquery(this=exp.Table()):
                self._take(node.this, scope)
            case exp.Lateral():
                scope.laterals.append(node.this)
                scope.sources.append(Source(name=name, fenced=_mentions(node)))
            case exp.Subquery():
                scope.checked.append(node)
                scope.sources.append(Source(name=name, fenced=self.check(node, scope.known, scope.outer)))
            case exp.Table() if not _mentions(node) and not list(node.find_all(exp.Column)):
                raise ValueError(f"`{shown(node)}` may return what is anybody's; give it one of {listed(self._ids)}")
            case _:
                scope.sources.append(Source(name=name, fenced=_mentions(node)))
        self._join(node.args.get("joins") or (), scope, start)

    def _decide(self, query: exp.Expression, scope: Scope) -> bool:
        """Fence what can be fenced. Raises ValueError for a table that is not, here or in a query within."""
        if (where := query.args.get("where")) is not None:
            scope.conditions += [Condition(that=each, of=scope.sources) for each in _all_of(where.this)]
        self._spread(scope)
        for source in scope.sources:
            if source.table and not source.fenced:
                raise ValueError(self._open(query, source, scope))
        self._within(query, scope)
        return any(source.fenced for source in scope.sources)

    def _spread(self, scope: Scope) -> None:
        """From each fenced source to those that are equated with it, until nothing more is fenced."""
        while any([self._holds(condition, scope) for condition in scope.conditions]):
            pass

    def _holds(self, condition: Condition, scope: Scope) -> bool:
        """Whether a condition fences one source more."""
        for column, value in _equations(condition.that):
            source = scope.source_of(column)
            if source is None or source.fenced or not any(source is each for each in condition.of):
                continue
            if self._is_ours(value, scope):
                source.fenced = True
                return True
        return False

    def _is_ours(self, value: exp.Expression, scope: Scope) -> bool:
        """Whether a value is an id of ours, or one of what is fenced."""
        if _is_sentinel(value):
            return True
        if isinstance(value, exp.Column):
            source = scope.source_of(value)
            return source.fenced if source is not None else value.table.lower() in scope.outer
        if isinstance(value, exp.Subquery | exp.Select | exp.SetOperation):
            return self._leads_to_ours(value, scope)
        return False

    def _leads_to_ours(self, query: exp.Expression, scope: Scope) -> bool:
        """Whether what a query returns are columns of what is fenced."""
        while isinstance(query, exp.Subquery | exp.Paren):
            query = query.this
        try:
            fenced = self.check(query, scope.known, scope.around)
        except ValueError:
            return False  # it is looked at once more, and then this is said
        if not isinstance(query, exp.Select):
            return fenced
        inner = Scope(known=scope.known, outer=scope.around)
        try:
            self._take_all(query.args.get("from_"), query.args.get("joins") or (), inner)
        except ValueError:
            return False
        if where := query.args.get("where"):
            inner.conditions += [Condition(that=each, of=inner.sources) for each in _all_of(where.this)]
        self._spread(inner)
        return fenced and all(self._is_ours(_plain(each), inner) for each in query.expressions)

    def _within(self, query: exp.Expression, scope: Scope) -> None:
        """Check every query within this one that is not one of its sources."""
        around = scope.around
        for nested in _queries_in(query, leave=scope.checked):
            self.check(nested, scope.known, around)

    def _open(self, query: exp.Expression, source: Source, scope: Scope) -> str:
        """The sentence on a table that is not fenced."""
        does = {exp.Update: "changes", exp.Delete: "deletes"}.get(type(query), "reads")
        where = query.args.get("where")
        found = (
            f"in `{shown(where)}` nothing that holds for every row equates"
            if where
            else "without a WHERE nothing equates"
        )
        best = next((name for name in ("thread_id", "thread_ids", "user_id") if name in self._ids), "user_id")
        value = f"ANY (:{best})" if best == "thread_ids" else f":{best}"
        prefix = f"{source.name}." if len(scope.sources) > 1 else ""
        column = f"{prefix}{best.removesuffix('s')}"
        return (
            f"{does} rows of {source.table} that may be anybody's: {found} a column of {source.name} with"
            f" {listed(self._ids)}; add {'AND' if where else 'WHERE'} {column} = {value}, or the column that holds it"
        )


def _all_of(condition: exp.Expression) -> Iterator[exp.Expression]:
    """What must hold all at once."""
    if isinstance(condition, exp.Paren):
        yield from _all_of(condition.this)
    elif isinstance(condition, exp.And):
        yield from _all_of(condition.this)
        yield from _all_of(condition.expression)
    else:
        yield condition


def _equations(condition: exp.Expression) -> Iterator[tuple[exp.Expression, exp.Expression]]:
    """A column and what it is equal to, in both directions."""
    match condition:
        case exp.EQ():
            left, right = _bare(condition.this), _bare(condition.expression)
            if isinstance(right, exp.Any):
                yield left, _bare(right.this)
            elif isinstance(left, exp.Tuple) and isinstance(right, exp.Tuple):
                for a, b in zip(left.expressions, right.expressions, strict=False):
                    yield from _equations(exp.EQ(this=a.copy(), expression=b.copy()))
            else:
                yield left, right
                yield right, left
        case exp.In(args={"query": exp.Expression() as query}):
            yield _bare(condition.this), query
        case exp.In(expressions=values) if values and all(_is_sentinel(value) for value in values):
            yield _bare(condition.this), _bare(values[0])
        case _:
            return


def _bare(node: exp.Expression) -> exp.Expression:
    """Without parentheses and casts."""
    while isinstance(node, exp.Paren | exp.Cast):
        node = node.this
    return node


def _plain(node: exp.Expression) -> exp.Expression:
    """What a query returns, without its alias; the least and the greatest of a column are of that column."""
    while isinstance(node, exp.Alias | exp.Paren | exp.Cast | exp.Min | exp.Max | exp.Distinct):
        node = node.this
    return node


def _is_sentinel(node: exp.Expression) -> bool:
    bare = _bare(node)
    return isinstance(bare, exp.Placeholder) and bare.name in SENTINELS


def _mentions(node: exp.Expression) -> bool:
    return any(each.name in SENTINELS for each in node.find_all(exp.Placeholder))


def _queries_in(query: exp.Expression, *, leave: Sequence[exp.Expression]) -> Iterator[exp.Expression]:
    """The outermost queries within one, but for those of WITH and those to leave out."""
    for part in query.iter_expressions():
        if isinstance(part, exp.With) or any(part is each for each in leave):
            continue
        if isinstance(part, exp.Query | exp.DML) and not isinstance(part, exp.Subquery | exp.Table):
            yield part
        else:
            yield from _queries_in(part, leave=leave)
