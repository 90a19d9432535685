"""Sources are declared, looked at, validated and recorded here; usable as a library, knows nothing of Dagster.

What belongs here: declarations (``sources/*.yml``), connectors, the ledger, the quarantine. What does not: models and
marts (``dbt_project/``), scheduling (``orchestration/``), stores and servers (``lakehouse/``).

The entry points are :func:`ingestion.declarations.load`, :func:`ingestion.ingest.ingest` and
:func:`ingestion.replay.replay`; they are imported from their modules, so that ``import ingestion`` costs nothing.
"""
