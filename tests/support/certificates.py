"""Throw-away certificates for tests, made with openssl."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    cert_file: str
    key_file: str


class Authority:
    """A certificate authority in a directory of its own."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._key = directory / "ca.key"
        self.ca_file = str(directory / "ca.pem")
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", str(self._key), "-out", self.ca_file,
        )  # fmt: skip

    def issue(self, name: str, *, san: str = "IP:127.0.0.1") -> Issued:
        """Issue a certificate good for both client and server."""
        stem = self._directory / name
        key, request, cert = f"{stem}.key", f"{stem}.csr", f"{stem}.pem"
        extensions = Path(f"{stem}.ext")
        extensions.write_text(f"subjectAltName={san}\nextendedKeyUsage=serverAuth,clientAuth\n")
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-subj", f"/CN={name}", "-keyout", key, "-out", request,
        )  # fmt: skip
        self._openssl(
            "x509", "-req", "-in", request, "-CA", self.ca_file, "-CAkey", str(self._key), "-CAcreateserial",
            "-days", "2", "-extfile", str(extensions), "-out", cert,
        )  # fmt: skip
        return Issued(cert_file=cert, key_file=key)

    @staticmethod
    def _openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)
