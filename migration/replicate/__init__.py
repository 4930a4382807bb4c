"""From blue to green: what is there, whose it is, what may come along, how it is changed for green, what would be written.

survey (reads) -> judge (pure: a verdict for each object) -> transform (pure) -> plan (reads green) -> apply (writes)
"""
