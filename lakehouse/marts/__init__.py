"""Served marts after they were published: their versions, rolling back, holding and releasing.

What belongs here: what a person does with published marts. What does not: publishing (the materialization in
``dbt_project/macros/publish/``) and the SQL that swaps and restores (``lakehouse/postgres/migrations/marts/sql/``).
"""
