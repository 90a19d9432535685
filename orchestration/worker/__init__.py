"""The resident worker: from a file's arrival to the mart in seconds, in one warm process.

It starts the same runs as the sensor does, by the same decision (:mod:`orchestration.arrivals`), with the same locks
and the same ledger, recorded in the same instance; only nothing has to be started for them.
"""
