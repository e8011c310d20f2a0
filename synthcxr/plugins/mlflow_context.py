"""What MLflow asks as a run starts: the DVC stage, experiment and revision that it belongs to, as tags.

MLflow loads this module while it is imported itself: nothing heavy stands at the top of it, or of what it imports.
"""

from __future__ import annotations

import os

from synthcxr.project import revision


class DvcRunContext:
    """A provider of the group `mlflow.run_context_provider`; it speaks only inside a stage that DVC runs."""

    def in_context(self) -> bool:
        """DVC has set the variables that it gives a stage."""
        return any(name in os.environ for name in (*revision.DVC_VARIABLES, revision.DVC_ROOT))

    def tags(self) -> dict[str, str]:
        """DVC_STAGE, DVC_EXP_NAME, DVC_EXP_BASELINE_REV, DVC_ROOT, and the git commit with whether files changed."""
        return revision.tags()
