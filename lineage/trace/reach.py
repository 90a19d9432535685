"""Which rows of the upstream relations went into rows whose key is known: a plan, from a model's SQL read backwards.

What belongs here: carrying key values over joins, and what is lost on the way. What does not: reading SQL
(:mod:`lineage.trace.branches`) and running the plan (:mod:`lineage.trace.walk`).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from lineage.trace.expressions import leaves_of, text
from lineage.trace.values import Branch, Choice, Condition, Relation

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

Role = Literal["own", "joined"]


@dataclass(frozen=True)
class Joined:
    """Another relation that is joined to decide which rows count.

    Attributes:
        leaf, relation: which.
        outer: rows without a partner stay.
        on: conditions, over leaves' columns.
    """

    leaf: str
    relation: Relation
    outer: bool
    on: tuple[Expr, ...]


@dataclass(frozen=True)
class Reach:
    """How the rows of one upstream relation are found.

    Attributes:
        leaf, relation: which.
        role: ``own``: every key that can be followed leads here, so these rows are the traced row's own; ``joined``:
            other rows may share them.
        keys: key column → expression over the leaf's columns, or those of the joined, that equals it.
        constants: key column → expression without columns that must equal it.
        conditions: further conditions on the leaf's rows alone.
        joins: in this order.
        choices: how one of several rows was kept.
        superset: why these may be more rows than went in; empty: they are exactly those.
    """

    leaf: str
    relation: Relation
    role: Role
    keys: Mapping[str, Expr]
    constants: Mapping[str, Expr]
    conditions: tuple[Expr, ...]
    joins: tuple[Joined, ...]
    choices: tuple[Choice, ...]
    superset: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """One branch of a model.

    Attributes:
        reaches: own ones first.
        lost: key column → why it cannot be followed.
    """

    reaches: tuple[Reach, ...]
    lost: Mapping[str, str]


def plans(branches: Sequence[Branch], keys: Sequence[str]) -> list[Plan]:
    """Plan each branch of a model for rows that are named by these columns (lower case).

    Where a key cannot be followed, all other columns that can be are used besides, to narrow what is found.
    """
    return [_Planner(branch, keys).plan() for branch in branches]


def demanded(branches: Sequence[Branch], keys: Sequence[str]) -> tuple[str, ...]:
    """Columns of the traced rows that the plans compare: the keys, and what stands in for those that are lost."""
    names = dict.fromkeys(keys)
    for branch in branches:
        names |= dict.fromkeys(_Planner(branch, keys).compared)
    return tuple(names)


def followable(branches: Sequence[Branch]) -> tuple[str, ...]:
    """Columns that can be followed in every branch: what names a row of a model that declares no key."""
    return tuple(
        name
        for name in (branches[0].columns if branches else ())
        if all((value := branch.columns.get(name)) is not None and value.expr is not None for branch in branches)
    )


class _Planner:
    def __init__(self, branch: Branch, keys: Sequence[str]) -> None:
        self._branch = branch
        self._lost = {
            key: _why(branch, key) for key in keys if key not in branch.columns or branch.columns[key].expr is None
        }
        names = [*keys, *(name for name in branch.columns if self._lost and name not in keys)]
        self._same = {
            name: [value.expr]
            for name in names
            if (value := branch.columns.get(name)) is not None and value.expr is not None
        }
        self._joining = [item for item in branch.conditions if len(leaves_of(item.expr)) > 1]
        self._merge_coalesced()
        self._carry_over()

    @property
    def compared(self) -> tuple[str, ...]:
        """Columns whose values are compared."""
        return tuple(self._same)

    def plan(self) -> Plan:
        """The plan of this branch."""
        leaves = self._branch.leaves
        direct = {leaf: self._direct(leaf) for leaf in leaves}
        mixed = {
            key: same[0]
            for key, same in self._same.items()
            if leaves_of(same[0]) and not any(key in keys for keys in direct.values())
        }
        followed = {key for keys in direct.values() for key in keys} | set(mixed)
        reaches = [self._reach(leaf, direct, mixed, followed) for leaf in leaves]
        most = max((len(reach.keys) for reach in reaches), default=0)
        roles: list[Reach] = [
            replace(reach, role="own" if reach.keys and len(reach.keys) == most else "joined") for reach in reaches
        ]
        return Plan(tuple(sorted(roles, key=lambda reach: reach.role != "own")), self._lost)

    def _reach(
        self, leaf: str, direct: dict[str, dict[str, Expr]], mixed: dict[str, Expr], followed: set[str]
    ) -> Reach:
        branch = self._branch
        superset = self._reasons()
        keys = dict(direct[leaf])
        joins: list[Joined] = []
        missing = followed - set(keys)
        if forced := self._narrowing(leaf, superset):
            joins = self._way(leaf, forced)
        if missing:
            wanted = {other for other in branch.leaves if missing & set(direct[other])}
            wanted |= {other for key in missing & set(mixed) for other in leaves_of(mixed[key])}
            joins = self._way(leaf, (wanted | forced) - {leaf})
            for joined in joins:
                keys = {**direct[joined.leaf], **keys}
            inside = {leaf, *(joined.leaf for joined in joins)}
            keys |= {key: expr for key, expr in mixed.items() if leaves_of(expr) <= inside and not unnests(expr)}
            uncovered = [
                item for item in self._joining if leaf in leaves_of(item.expr) and not self._covered(item, leaf)
            ]
            if missing := followed - set(keys):
                superset += [f"{key} is made of several relations: {text(mixed[key])}" for key in missing & set(mixed)]
                if uncovered or not branch.leaves.keys() - {leaf}:
                    superset.append(f"{', '.join(sorted(missing))} could not be used to find them")
        return Reach(
            leaf,
            branch.leaves[leaf],
            "joined",
            keys,
            {key: same[0] for key, same in self._same.items() if not leaves_of(same[0])},
            tuple(self._alone(leaf)),
            tuple(joins),
            tuple(choice for choice in branch.choices if leaves_of(choice.order[0]) == {leaf}),
            tuple(dict.fromkeys(superset)),
        )

    # -- equal expressions ----------------------------------------------------------------------------

    def _merge_coalesced(self) -> None:
        """``coalesce(a.id, b.id)`` of rows joined on ``a.id = b.id`` is either."""
        from sqlglot import exp

        pairs = {
            frozenset((item.expr.this.unnest(), item.expr.expression.unnest()))
            for item in self._joining
            if isinstance(item.expr, exp.EQ)
        }
        for same in self._same.values():
            whole = same[0].unnest()
            if not isinstance(whole, exp.Coalesce) or len(leaves_of(whole)) < 2:
                continue
            parts = [whole.this.unnest(), *(part.unnest() for part in whole.expressions)]
            if all(frozenset(pair) in pairs for pair in itertools.pairwise(parts)):
                same += parts

    def _carry_over(self) -> None:
        """Carry keys over equal columns of joins, until nothing is added."""
        from sqlglot import exp

        changed = True
        while changed:
            changed = False
            for item in self._joining:
                if isinstance(item.expr, exp.EQ):
                    changed |= self._carry(item.expr.this, item.expr.expression, item)
                    changed |= self._carry(item.expr.expression, item.expr.this, item)

    def _carry(self, here: Expr, there: Expr, condition: Condition) -> bool:
        if not leaves_of(there) or not leaves_of(there) <= condition.into:
            return False
        changed = False
        for same in self._same.values():
            if here.unnest() in same and there.unnest() not in same:
                same.append(there.unnest())
                changed = True
        return changed

    def _direct(self, leaf: str) -> dict[str, Expr]:
        found = {}
        for key, same in self._same.items():
            expr = next((item for item in same if leaves_of(item) == {leaf}), None)
            if expr is not None:
                found[key] = expr
        return found

    # -- conditions -----------------------------------------------------------------------------------

    def _alone(self, leaf: str) -> list[Expr]:
        return [
            item.expr
            for item in self._branch.conditions
            if leaf in item.into and leaves_of(item.expr) == {leaf} and not unnests(item.expr)
        ]

    def _covered(self, item: Condition, leaf: str) -> bool:
        """Whether an equality says of a leaf only what its keys say already."""
        from sqlglot import exp

        if not isinstance(item.expr, exp.EQ):
            return False
        sides = [side.unnest() for side in (item.expr.this, item.expr.expression)]
        here = next((side for side in sides if leaves_of(side) == {leaf}), None)
        return here is not None and any(here in same for same in self._same.values())

    def _narrowing(self, leaf: str, superset: list[str]) -> set[str]:
        """Leaves whose join says more about a leaf's rows than the keys do, such as ``valid_from <= at``."""
        found: set[str] = set()
        todo = [leaf]
        while todo:
            here = todo.pop()
            for item in self._joining:
                if here not in item.into or self._covered(item, here):
                    continue
                if unnests(item.expr):
                    superset.append(f"this condition was not applied: {text(item.expr)}")
                    continue
                others = leaves_of(item.expr) - found - {leaf, here}
                found |= others
                todo += others
        return found

    def _way(self, leaf: str, wanted: set[str]) -> list[Joined]:
        """Relations to join to a leaf so that the wanted ones are among them; the nearest first."""
        joins: list[Joined] = []
        inside = {leaf}
        came_from: dict[str, str] = {}
        frontier = [leaf]
        while frontier:
            here = frontier.pop(0)
            for item in self._joining:
                around = leaves_of(item.expr)
                if here not in around or unnests(item.expr) or (here == leaf and self._covered(item, leaf)):
                    continue
                for other in sorted(around - {leaf, *came_from}):
                    came_from[other] = here
                    frontier.append(other)
        for target in came_from:  # in the order of distance
            if target not in wanted:
                continue
            path = [target]
            while came_from[path[-1]] != leaf:
                path.append(came_from[path[-1]])
            for step in reversed(path):
                if step not in inside:
                    inside.add(step)
                    joins.append(self._joined(step, inside))
        return joins

    def _joined(self, leaf: str, inside: set[str]) -> Joined:
        conditions = [
            item
            for item in self._joining
            if leaf in leaves_of(item.expr) and leaves_of(item.expr) <= inside and not unnests(item.expr)
        ]
        outer = bool(conditions) and all(not item.into & (inside - {leaf}) for item in conditions)
        on = (*(item.expr for item in conditions), *self._alone(leaf))
        return Joined(leaf, self._branch.leaves[leaf], outer, on)

    def _known(self, depends: tuple[Expr, ...] | None) -> bool:
        return depends is not None and all(_determined(self._same, item) for item in depends)

    def _reasons(self) -> list[str]:
        reasons = [f"{key} is {why}" for key, why in self._lost.items()]
        for item in self._branch.dropped:
            if item.why == "choice":
                reasons.append(f"one of several was kept by {item.text}")
            elif item.why == "unclear" and not self._known(item.depends):
                reasons.append(f"this condition was not applied: {item.text}")
        return reasons


def _determined(same: Mapping[str, Sequence[Expr]], expr: Expr) -> bool:
    """Whether an expression's value follows from the keys."""
    from sqlglot import exp

    known = [item for items in same.values() for item in items]
    return expr.unnest() in known or all(column in known for column in expr.find_all(exp.Column))


def unnests(expr: Expr) -> bool:
    """Whether a list is spread into rows in it."""
    from sqlglot import exp

    return expr.find(exp.Explode) is not None


def _why(branch: Branch, key: str) -> str:
    value = branch.columns.get(key)
    if value is None:
        return "not a column of the query"
    kinds = {"aggregate": "an aggregate", "window": "a window function", "subquery": "a subquery"}
    return f"{kinds.get(value.kind, 'not to be followed')}: {value.why}"
