"""Watching drop zones: tells at once that something arrived, not what it is worth. Knows nothing of Dagster.

What belongs here: noticing that a folder of the lake changed, by file events or by listing it. What does not: which of
its files are new (:mod:`ingestion.look`) and what happens then.
"""
