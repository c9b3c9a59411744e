"""Audit results and their formats: findings, licences, SARIF, CycloneDX. Reads no files."""
