"""Jobs: named selections of assets, all executed in the run's own process."""

from dagster import AssetSelection, in_process_executor
from dagster import define_asset_job as define

from orchestration import names

# One process for a whole run: a process per step costs 2 s each (knowledge/stack.md) and would start dbt cold.
nightly_pipeline = define(
    name=names.NIGHTLY_JOB,
    selection=AssetSelection.all(),
    description="Everything, raw to marts, with every check over all data.",
    executor_def=in_process_executor,
)

file_arrival = define(
    name=names.FILES_JOB,
    selection=AssetSelection.all(),
    description="What the file sensors start: raw to marts for what is new.",
    executor_def=in_process_executor,
)

JOBS = [nightly_pipeline, file_arrival]
