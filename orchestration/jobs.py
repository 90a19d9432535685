"""Jobs: named selections of assets, all executed in the run's own process."""

from dagster import AssetSelection, in_process_executor
from dagster import define_asset_job as define

from orchestration import names

# Steps that were finished before a process died cost nothing when they are asked again, and their checks are asked too.
RETRY = {"dagster/retry_strategy": "ALL_STEPS"}

# One process for a whole run: a process per step costs 2 s each and would start dbt cold.
nightly_pipeline = define(
    name=names.NIGHTLY_JOB,
    selection=AssetSelection.all(),
    description="Everything, raw to marts, with every check over all data.",
    executor_def=in_process_executor,
    tags=RETRY,
)

file_arrival = define(
    name=names.FILES_JOB,
    selection=AssetSelection.all(),
    description="What the file sensors start: raw to marts for what is new.",
    executor_def=in_process_executor,
    tags={"dagster/max_retries": "0"},  # after a death the next look at the drop zone starts a run, see arrivals.py
)

JOBS = [nightly_pipeline, file_arrival]
