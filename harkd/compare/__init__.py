"""The comparison of strategies: the design of a study, its executors, and the statistics over its subjects."""
