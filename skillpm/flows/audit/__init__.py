"""Audit the installed set: integrity, yanks, advisories, licences, router signatures."""
