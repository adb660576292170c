"""What all tests share."""

from hypothesis import settings

# No example is timed: the machine may be busy with the other tests, and a figure of time belongs into benchmarks/.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
