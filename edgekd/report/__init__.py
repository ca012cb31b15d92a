"""The report of a run: a pure function of its folder."""
