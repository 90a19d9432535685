"""Run facts as OpenLineage events, the outbox they wait in, and the drainer that delivers them.

What belongs here: pure functions from run facts to events, and durable delivery. What does not: deciding when a run
has ended (``orchestration``) or running a lineage server. The room is laid out; its furniture comes with the lineage
issue, nothing else depends on it yet.
"""
