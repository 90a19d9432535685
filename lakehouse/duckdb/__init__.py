"""DuckDB: offline extensions, the one-writer lock, and connections.

Nothing here knows a model or a source. ``import duckdb`` happens inside functions: the command line must not pay
for it when it only prints help.
"""
