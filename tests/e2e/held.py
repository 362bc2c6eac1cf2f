"""A network whose training stands still until a file is there: a run of it cannot end before.

For ``--model held:Held``, where PYTHONPATH has this folder and HELD_UNTIL names the file (see the fixture `held`);
HELD_AT is the training that does not begin before.
"""

import os
import time
from pathlib import Path
from typing import Any

from nervenet.models import MLP

HELD_AT = int(os.environ.get("HELD_AT", "12"))  # that training of a process
PATIENCE_S = 600.0


class Held(MLP):
    """It learns as any other once it may."""

    trainings = 0

    def fit(self, *given: Any) -> Any:
        """Train; from a certain training on, when the file is there."""
        self.trainings += 1
        until = time.monotonic() + PATIENCE_S
        while self.trainings >= HELD_AT and not Path(os.environ["HELD_UNTIL"]).exists():
            if time.monotonic() > until:
                raise TimeoutError("nobody has let it go on")
            time.sleep(0.01)
        return super().fit(*given)
