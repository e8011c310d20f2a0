"""synthcxr as a Python library: images in memory, and the steps that combine several parts of the package."""
