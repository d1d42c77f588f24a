"""The figures of the source and of its talk, each measured from scratch; one file per figure.

A figure is a module with `NAME`, `DATA` (what it uses where nobody asks for other data), `QUICK`
and `FULL` (how much of it), and a function `measure(seed, size, data)`. What one seed gives is
stored as it was measured; means, intervals and sentences are made by the report, from all seeds.
"""
