"""The scopes of a statement, each query within another, and which tables in each are fenced by ids of ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlglot import exp

from monitor.bindings.statements import listed
from monitor.bindings.trees import all_of, bare, equations, is_sentinel, mentions, plain, queries_in, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """What a query returns: whether all its rows come from what is ours, and which columns are so, too.

    `columns` None are all. A column that is computed is not: to equate something with it does not fence that.
    """

    fenced: bool
    columns: frozenset[str] | None = None


OURS, NOT_OURS = Rows(fenced=True), Rows(fenced=False, columns=frozenset())


@dataclass(slots=True, kw_only=True)
class Source:
    """One thing that a query takes rows from. A table has to be fenced; anything else is what it was made of."""

    name: str
    table: str = ""
    rows: Rows = NOT_OURS

    def is_ours(self, column: str) -> bool:
        """Whether a column of it is of what is ours."""
        return self.rows.fenced and (self.rows.columns is None or column.lower() in self.rows.columns)


@dataclass(slots=True, kw_only=True)
class Condition:
    """What holds for all rows of some sources: it can fence these, and no others."""

    that: exp.Expr
    of: Sequence[Source]


@dataclass(slots=True, kw_only=True)
class Scope:
    """One query: its sources, what holds for them, and what is known of the queries around it."""

    known: Mapping[str, Rows]
    outer: Mapping[str, Source]
    sources: list[Source] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    checked: list[exp.Expr] = field(default_factory=list)

    @property
    def around(self) -> Mapping[str, Source]:
        """The sources here and in the queries around, as a query within sees them."""
        return {**self.outer, **{source.name: source for source in self.sources}}

    def source_of(self, column: exp.Expr) -> Source | None:
        """Which source here a column comes from; None where that is not said."""
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
        self, query: exp.Expr, known: Mapping[str, Rows] | None = None, outer: Mapping[str, Source] | None = None
    ) -> Rows:
        """What a query returns. Raises ValueError where a table is not fenced."""
        if isinstance(query, exp.Subquery | exp.Paren):
            return self.check(query.this, known, outer)
        scope = Scope(known=self._named(query, known or {}, outer or {}), outer=outer or {})
        if isinstance(query, exp.SetOperation):
            return self._both(query, scope)
        if isinstance(query, exp.Values):
            self._within(query, scope)
            alone = all(is_sentinel(cell) for row in query.expressions for cell in row.expressions)
            fenced = all(mentions(row) for row in query.expressions)
            return Rows(fenced=fenced, columns=None if alone else frozenset())
        if isinstance(query, exp.Insert):
            return self._insert(query, scope)
        self._sources(query, scope)
        return self._decide(query, scope)

    def _named(self, query: exp.Expr, known: Mapping[str, Rows], outer: Mapping[str, Source]) -> Mapping[str, Rows]:
        """The queries that WITH gives names to."""
        if (clause := query.args.get("with_")) is None:
            return known
        found = dict(known)
        for named in clause.expressions:
            if clause.recursive:
                found[named.alias.lower()] = OURS  # if its first part is, which is looked at here, too
            found[named.alias.lower()] = _renamed(self.check(named.this, found, outer), named)
        return found

    def _both(self, query: exp.SetOperation, scope: Scope) -> Rows:
        left = self.check(query.this, scope.known, scope.outer)
        right = self.check(query.expression, scope.known, scope.outer)
        columns = None if left.columns is None and right.columns is None else frozenset[str]()
        return Rows(fenced=left.fenced and right.fenced, columns=columns)

    def _sources(self, query: exp.Expr, scope: Scope) -> None:
        match query:
            case exp.Select() if query.args.get("into"):
                raise ValueError("SELECT INTO makes a table; leave INTO out")
            case exp.Select():
                self._take_all(query.args.get("from_"), query.args.get("joins") or (), scope)
            case exp.Update():
                self._take(query.this, scope)
                self._take_all(query.args.get("from_"), (), scope)
            case exp.Delete():
                for source in (query.this, *(query.args.get("using") or ())):
                    self._take(source, scope)
            case _:
                what = query.key.upper()
                raise ValueError(f"{what} is not for a binding, which consists of SELECT, INSERT, UPDATE and DELETE")

    def _insert(self, query: exp.Insert, scope: Scope) -> Rows:
        rows = query.args.get("expression")
        if rows is None:
            raise ValueError(f"inserts what says not whose it is; give a column one of {listed(self._ids)}")
        ours = self.check(rows, scope.known, scope.outer).fenced
        if not ours and not (isinstance(rows, exp.Select) and any(mentions(each) for each in rows.expressions)):
            raise ValueError(f"inserts a row without an id of Holdfast's own; give it one of {listed(self._ids)}")
        scope.checked.append(rows)
        self._conflict(query, rows, scope)
        target = query.this.this if isinstance(query.this, exp.Schema) else query.this
        scope.sources = [Source(name=target.alias_or_name.lower(), table=target.name, rows=OURS)]
        self._within(query, scope)
        return self._returned(query, scope)

    def _conflict(self, query: exp.Insert, rows: exp.Expr, scope: Scope) -> None:
        """What ON CONFLICT changes must be ours: by a key that holds an id of ours, or by its WHERE."""
        conflict = query.args.get("conflict")
        if conflict is None or "UPDATE" not in str(conflict.args.get("action")).upper():
            return
        named = isinstance(query.this, exp.Schema)
        target = query.this.this if named else query.this
        columns = [each.name for each in query.this.expressions] if named else []
        keys = {
            bare(key.this if isinstance(key, exp.Ordered) else key).name for key in conflict.args["conflict_keys"] or ()
        }
        lines = [row.expressions for row in rows.expressions] if isinstance(rows, exp.Values) else [rows.expressions]
        for place, column in enumerate(columns):
            if column in keys and all(len(line) > place and is_sentinel(line[place]) for line in lines):
                return
        own = Source(name=target.alias_or_name.lower(), table=target.name)
        inner = Scope(known=scope.known, outer=scope.outer, sources=[own, Source(name="excluded")])
        if (where := conflict.args.get("where")) is not None:
            inner.conditions = [Condition(that=each, of=[own]) for each in all_of(where.this)]
            self._spread(inner)
        if not own.rows.fenced:
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
                scope.conditions += [Condition(that=each, of=of) for each in all_of(on)]
            if len(left) == len(right) == 1:
                for column in join.args.get("using") or ():
                    here, there = (exp.column(column.name, table=source.name) for source in (*left, *right))
                    scope.conditions.append(Condition(that=exp.EQ(this=here, expression=there), of=of))

    def _take(self, node: exp.Expr, scope: Scope) -> None:
        """One source of a query, with what is joined to it in parentheses."""
        start, name = len(scope.sources), node.alias_or_name.lower()
        match node:
            case exp.Table(this=exp.Identifier()) if not node.db and node.name.lower() in scope.known:
                rows = _renamed(scope.known[node.name.lower()], node)
                scope.sources.append(Source(name=name, rows=rows))
            case exp.Table(this=exp.Identifier()):
                table = f"{node.db}.{node.name}" if node.db else node.name
                scope.sources.append(Source(name=name, table=table))
            case exp.Subquery(this=exp.Table()):
                self._take(node.this, scope)
            case exp.Subquery():
                scope.checked.append(node)
                rows = _renamed(self.check(node, scope.known, scope.outer), node)
                scope.sources.append(Source(name=name, rows=rows))
            case exp.Lateral(this=exp.Subquery()):
                scope.sources.append(Source(name=name))  # it is looked at once its neighbours are fenced
            case exp.Table() | exp.Lateral() if _is_open(node):
                raise ValueError(f"`{shown(node)}` may return what is anybody's; give it one of {listed(self._ids)}")
            case _:
                scope.sources.append(Source(name=name, rows=OURS if mentions(node) else NOT_OURS))
        self._join(node.args.get("joins") or (), scope, start)

    def _decide(self, query: exp.Expr, scope: Scope) -> Rows:
        """Fence what can be fenced. Raises ValueError for a table that is not, here or in a query within."""
        if (where := query.args.get("where")) is not None:
            scope.conditions += [Condition(that=each, of=scope.sources) for each in all_of(where.this)]
        self._spread(scope)
        for source in scope.sources:
            if source.table and not source.rows.fenced:
                raise ValueError(self._open(query, source, scope))
        self._within(query, scope)
        return self._returned(query, scope)

    def _returned(self, query: exp.Expr, scope: Scope) -> Rows:
        """What comes out of a query whose sources are decided."""
        returning = query.args.get("returning")
        given = query.expressions if isinstance(query, exp.Select) else returning.expressions if returning else []
        if scope.sources:
            fenced = any(source.rows.fenced for source in scope.sources)
        else:
            fenced = any(mentions(each) for each in given)
        named = {each.alias_or_name.lower(): self._is_ours(plain(each), scope) for each in given}
        columns = None if all(named.values()) else frozenset(name for name, ours in named.items() if ours)
        return Rows(fenced=fenced, columns=columns)

    def _spread(self, scope: Scope) -> None:
        """From each fenced source to those that are equated with it, until nothing more is fenced."""
        while any(self._holds(condition, scope) for condition in scope.conditions):
            pass

    def _holds(self, condition: Condition, scope: Scope) -> bool:
        """Whether a condition fences one source more."""
        for column, value in equations(condition.that):
            source = scope.source_of(column)
            if source is None or source.rows.fenced or not any(source is each for each in condition.of):
                continue
            if source.table and self._is_ours(value, scope):
                source.rows = OURS
                return True
        return False

    def _is_ours(self, value: exp.Expr, scope: Scope) -> bool:
        """Whether a value is an id of ours, or a column of what is fenced."""
        if isinstance(value, exp.Star):
            return all(source.rows.fenced and source.rows.columns is None for source in scope.sources)
        if isinstance(value, exp.Column):
            source = scope.source_of(value) or scope.outer.get(value.table.lower())
            if isinstance(value.this, exp.Star):
                return source is not None and source.rows.fenced and source.rows.columns is None
            return source is not None and source.is_ours(value.name)
        if isinstance(value, exp.Subquery | exp.Select | exp.SetOperation):
            try:
                rows = self.check(value, scope.known, scope.around)
            except ValueError:
                return False  # it is looked at once more, and then this is said
            return rows.fenced and rows.columns is None
        return is_sentinel(value)

    def _within(self, query: exp.Expr, scope: Scope) -> None:
        """Check every query within this one that is not one of its sources."""
        for nested in queries_in(query, leave=scope.checked):
            self.check(nested, scope.known, scope.around)

    def _open(self, query: exp.Expr, source: Source, scope: Scope) -> str:
        """The sentence on a table that is not fenced."""
        does = {exp.Update: "changes", exp.Delete: "deletes"}.get(type(query), "reads")  # type: ignore[arg-type]
        where = query.args.get("where")
        found = f"in `{shown(where)}` nothing that holds for every row" if where else "without a WHERE nothing"
        best = next((name for name in ("thread_id", "thread_ids", "user_id") if name in self._ids), "user_id")
        value = f"ANY (:{best})" if best == "thread_ids" else f":{best}"
        prefix = f"{source.name}." if len(scope.sources) > 1 else ""
        step = f"add {'AND' if where else 'WHERE'} {prefix}… = {value}"
        return (
            f"{does} rows of {source.table} that may be anybody's: {found} equates a column of {source.name} with"
            f" {listed(self._ids)}; {step} with the column of {source.table} that holds it"
        )


def _is_open(node: exp.Expr) -> bool:
    """Whether a function returns rows, and was told nothing of whose."""
    return node.find(exp.Anonymous) is not None and not mentions(node) and node.find(exp.Column) is None


def _renamed(rows: Rows, node: exp.Expr) -> Rows:
    """The same under an alias; where that gives its columns other names, which is which is not followed."""
    alias = node.args.get("alias")
    if rows.columns is None or not (isinstance(alias, exp.TableAlias) and alias.columns):
        return rows
    return Rows(fenced=rows.fenced, columns=frozenset())
