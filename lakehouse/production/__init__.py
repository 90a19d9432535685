"""What a server needs beyond a laptop: generated secrets, the refusal of weak ones, roles on external Postgres servers.

What belongs here: preparing and guarding the stack of ``docker-compose.yml``. What does not: running it.
"""
