"""Settings, lake storage, DuckDB and Postgres connections, embedded services and the command line.

The foundation the other rooms stand on. Nothing here knows what a bioreactor is, what dbt models exist
or how Dagster works; only :mod:`lakehouse.cli` (the roof) may call the other rooms, and it imports them lazily.
"""
