"""`make chaos`: real faults on a schedule, under load, and a checker that knows every answer.

`faults` breaks things, `load` asks and writes down every answer, `checker` reads what was written down.
"""

import sys
from pathlib import Path

# As pytest does, of which this is independent: the tests' support uses the finders of the servers.
sys.path.append(str(Path(__file__).resolve().parents[2] / "deploy" / "local"))
