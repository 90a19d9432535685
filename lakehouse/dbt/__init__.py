"""Running dbt inside our own process: its environment, the prebuilt manifest, one invocation at a time.

Knows nothing of Dagster. What the models are is the business of ``dbt_project/``.
"""
