"""Reading and writing the catalogue. Outside `db`, only this package contains SQL."""
