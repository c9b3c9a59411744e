"""What an audit says, and in which form: findings, licences, SARIF, CycloneDX. No files."""
