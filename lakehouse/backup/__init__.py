"""Backup and restore of what the platform keeps outside the lake: state, served marts, warehouse.

What belongs here: consistent copies, proving that they are whole, and putting them back.
What does not: the lake itself (the object store's replication and versioning are for that), and building anything
again from the lake (``lakehouse rebuild``).
"""
