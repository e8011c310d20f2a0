"""Tag MLflow runs with the DVC stage, experiment and revision that start them.

MLflow loads this module during its own import, so the module imports nothing heavy at the top.
"""

from __future__ import annotations

import os

from synthcxr.project import revision


class DvcRunContext:
    """A provider of the entry point group `mlflow.run_context_provider`, active only in a stage that DVC runs."""

    def in_context(self) -> bool:
        """Whether DVC has set the variables of a stage."""
        return any(name in os.environ for name in (*revision.DVC_VARIABLES, revision.DVC_ROOT))

    def tags(self) -> dict[str, str]:
        """Return DVC_STAGE, DVC_EXP_NAME, DVC_EXP_BASELINE_REV, DVC_ROOT, the git commit and whether files changed."""
        return revision.build_run_tags()
