"""When building again would change nothing, and every reason why it might."""

from dataclasses import dataclass, field

import pytest

from orchestration.assets.dbt_graph import Model
from orchestration.assets.up_to_date import all_up_to_date, digests


def _model(name: str, source: str | None = None, depth: int = 0) -> Model:
    return Model(f"model.p.{name}", name, "curated", "table", "curated", name, source, depth)


STG, INT, DIM = _model("stg", "bioreactor", 1), _model("int", None, 2), _model("dim", None, 3)


@dataclass
class Graph:
    above: dict[str, list[Model]] = field(default_factory=lambda: {"stg": [], "int": [STG], "dim": [INT]})

    def parents(self, model: Model) -> list[Model]:
        return self.above[model.asset_key]


def _digests(models, *, key="code1", ledger="files1", stored=None):
    return digests(models, Graph(), manifest_key=key, ledger={"bioreactor": ledger}, stored=stored or {})


BUILT = _digests([STG, INT, DIM])


def test_the_same_code_and_files_give_the_same_digests():
    assert _digests([STG, INT, DIM]) == BUILT
    assert all_up_to_date(BUILT, BUILT)


@pytest.mark.parametrize("change", [{"key": "code2"}, {"ledger": "files2"}])
def test_other_code_or_other_files_change_every_digest_downstream(change):
    changed = _digests([STG, INT, DIM], **change)
    assert all(changed[name] != BUILT[name] for name in BUILT)
    assert not all_up_to_date(changed, BUILT)


def test_a_part_built_alone_counts_with_what_is_really_above_it():
    alone = _digests([DIM], ledger="files2", stored=BUILT)
    assert alone["dim"] == BUILT["dim"], "new files that staging has not seen do not make dim look new"
    newer = _digests([STG], ledger="files2")
    rebuilt = {**BUILT, **newer}
    assert not all_up_to_date(_digests([INT, DIM], stored=rebuilt), rebuilt)


def test_nothing_is_up_to_date_above_which_something_was_never_built_soundly():
    assert _digests([DIM], stored={})["dim"] is None
    assert not all_up_to_date({"dim": None}, {"dim": "x"})
    assert not all_up_to_date({}, {})
