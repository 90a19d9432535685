"""Sample data: plausible runs made on the spot, so that every part can be shown and tested without real data.

What belongs here: simulating a process and writing it the way its source would. What does not: reading, checking or
loading any of it. Importing this package is cheap; its modules import numpy and pyarrow.
"""
