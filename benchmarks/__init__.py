"""What jackcapture costs, measured beside the tools that do the nearest thing: `./bootstrap bench [NAME...]`.

Ratios are medians of pairs that are run in turn, so that a busy machine bears on both sides alike; they are judged.
Absolute times are shown with their aims and not judged: they belong to the machine. docs/performance.md has one run.
"""
