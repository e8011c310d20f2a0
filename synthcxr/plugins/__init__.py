"""Plug-ins of MLflow.

MLflow loads its plug-ins while it is imported. It is imported here first, so that each module can be imported on its
own: otherwise MLflow would find an incomplete module.
"""

import mlflow as mlflow
