"""Dagster: assets, checks, jobs, schedules and sensors derived from declarations and from the dbt manifest.

The layer stays thin: what a step does lives in ``ingestion``, ``lakehouse`` and ``dbt_project``; here it is named,
ordered, gated, retried and reported. Public Dagster API only. No module here uses postponed annotations: Dagster
inspects the annotations of assets and configs.
"""
