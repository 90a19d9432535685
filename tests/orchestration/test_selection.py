"""What a user may write after ``--select``, and what Dagster gets."""

import pytest

from lakehouse.errors import ConfigError
from orchestration.selection import to_dagster

DOMAINS = {"bioreactor"}
ASSETS = {"raw_bioreactor_data", "stg_bioreactor", "dim_batch", "mart_bioreactor_overview"}

CURATED = '(tag:"layer"="intermediate" or tag:"layer"="curated")'


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("*", "*"),
        ("dbt_curated_models", CURATED),
        ("dbt_staging_models+", '(tag:"layer"="staging")+'),
        ("+dbt_postgres_marts", '+(tag:"layer"="mart")'),
        ("bioreactor", 'group:"bioreactor"'),
        ("bioreactor and not dbt_postgres_marts", 'group:"bioreactor" and not (tag:"layer"="mart")'),
        ("dim_batch", 'key:"dim_batch"'),
        ("2+dim_batch+", '2+key:"dim_batch"+'),
        ("dim_batch,stg_bioreactor", 'key:"dim_batch" or key:"stg_bioreactor"'),
        ("raw", 'tag:"layer"="raw"'),
        ('tag:"layer"="curated"', 'tag:"layer"="curated"'),
        ('group:"bioreactor"', 'group:"bioreactor"'),
        ("tag:layer=curated", "tag:layer=curated"),
        ("mart_*", 'key:"mart_*"'),
    ],
)
def test_layers_domains_and_models_become_dagsters_syntax(given, expected):
    assert to_dagster(given, domains=DOMAINS, assets=ASSETS) == expected


def test_every_unknown_word_is_named_with_what_there_is():
    with pytest.raises(ConfigError) as error:
        to_dagster("dim_bach or comerce", domains=DOMAINS, assets=ASSETS)
    text = str(error.value)
    assert "dim_bach, comerce" in text
    assert "dbt_curated_models" in text
    assert "dim_batch" in text
