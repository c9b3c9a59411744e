"""The certificate authorities that HTTPS connections trust."""

import os
import ssl
from pathlib import Path

import certifi

from skillpm.errors import UsageError
from skillpm.files.named import expanded

_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_DIR")
_EXPIRED, _OTHER_NAME = (9, 10), (62, 64)
"""Results of X509_verify_cert of OpenSSL: not yet valid, expired; another host name or address."""


def tls_context() -> ssl.SSLContext:
    """Trust the file or folder of a usual variable, else the system's authorities and certifi's.

    Raises `UsageError` if the file of a variable cannot be read.
    """
    for name in _VARIABLES:
        value = os.environ.get(name)
        if value:
            return _of_variable(name, expanded(value))
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def certificate_hint(problem: ssl.SSLCertVerificationError) -> str:
    """What to do about a certificate that is not trusted."""
    if problem.verify_code in _EXPIRED:
        return "the registry's operator must renew it; check the clock of this machine too"
    if problem.verify_code in _OTHER_NAME:
        return "use the host name that the certificate is for: `--registry URL`"
    return "to trust a private authority, set SSL_CERT_FILE to its PEM file"


def _of_variable(name: str, path: Path) -> ssl.SSLContext:
    try:
        if path.is_dir():
            return ssl.create_default_context(capath=str(path))
        return ssl.create_default_context(cafile=str(path))
    except (OSError, ssl.SSLError) as problem:
        raise UsageError(
            f"{name}: `{path}` is not a file of certificates: {problem}",
            hint=f"unset {name}, or name a PEM file",
        ) from problem
