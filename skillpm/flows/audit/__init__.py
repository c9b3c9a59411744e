"""Report what is wrong with what is installed: integrity, yanks, advisories, licences."""
