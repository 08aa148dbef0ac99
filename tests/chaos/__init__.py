"""`make chaos`: real faults on a schedule, under load, and a checker that knows every answer.

`faults` breaks things, `load` asks and writes down every answer, `checker` reads what was written down.
"""
