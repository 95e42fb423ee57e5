"""Calm: bad weather of every sort, and not one violation. `make soak` runs it for as long as one likes."""
