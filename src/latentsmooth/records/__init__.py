"""The certificate log: append, resume, read; import and export of the field's TSV files."""

from latentsmooth.records.environment import package_versions
from latentsmooth.records.log import CertificateLog, read_log
from latentsmooth.records.manifest import FORMAT, SCHEMA_VERSION, Manifest, differences
from latentsmooth.records.reading import log_name, read_any_log
from latentsmooth.records.run import certify_to_log, fitted_images
from latentsmooth.records.tsv import PublishedCertificate, read_tsv, tsv_text, write_tsv
from latentsmooth.records.view import CertificateLike, LogView

__all__ = [
    "FORMAT",
    "SCHEMA_VERSION",
    "CertificateLike",
    "CertificateLog",
    "LogView",
    "Manifest",
    "PublishedCertificate",
    "certify_to_log",
    "differences",
    "fitted_images",
    "log_name",
    "package_versions",
    "read_any_log",
    "read_log",
    "read_tsv",
    "tsv_text",
    "write_tsv",
]
