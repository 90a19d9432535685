"""From a row of a mart back to the rows of the raw files that it came from.

What belongs here: reading a model's SQL backwards (:mod:`.branches`, :mod:`.reach`), finding the rows layer by layer
(:mod:`.walk`), and what is known about the files at the end (:mod:`.files`). What does not: anything about one domain
or one model; all of it follows from the models' SQL, dbt's manifest and the ledger. Nothing here writes.
"""
