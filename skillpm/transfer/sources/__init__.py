"""Sources of answers: model folders, endpoints, files of recorded answers."""
