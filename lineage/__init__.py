"""Run facts as OpenLineage events, the outbox they wait in, and the drainer that delivers them.

What belongs here: pure functions from run facts to events, durable delivery, the graph that the outbox holds, and the
way from a mart's row back to its files. What does not: deciding when a run has ended and reading its event log
(``orchestration``), or running a lineage server. Nothing here imports Dagster or dbt.
"""
