"""What a package imports to extend synthcxr with a reader, a format, an extractor or a metric: see docs/extend.md."""

from synthcxr.data.films import Film
from synthcxr.data.findings import FINDINGS, parse_finding_labels
from synthcxr.data.image_formats import ImageFormat, ImageStore
from synthcxr.errors import ConfigError, DataError
from synthcxr.evaluation.features.feature_extractor import FeatureExtractor
from synthcxr.evaluation.metric import ImageGroup, Metric, MetricValue, NotComputable
from synthcxr.readers.reader import Reader, describe_options
from synthcxr.writers.formats.image_folder import ImageFolder

__all__ = [
    "FINDINGS",
    "ConfigError",
    "DataError",
    "FeatureExtractor",
    "Film",
    "ImageFolder",
    "ImageFormat",
    "ImageGroup",
    "ImageStore",
    "Metric",
    "MetricValue",
    "NotComputable",
    "Reader",
    "describe_options",
    "parse_finding_labels",
]
