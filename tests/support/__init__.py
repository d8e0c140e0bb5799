"""Stand-ins for the outside world that the tests, the demo and the benchmarks share."""
