"""The local training of one client: from received weights to the update that its strategy sends.

`LocalTraining` holds what the client carries from round to round; `LocalSettings` is what a task may ask for.
"""

from .result import LocalResult
from .settings import LocalSettings, check_support
from .training import LocalTraining

__all__ = ["LocalResult", "LocalSettings", "LocalTraining", "check_support"]
