"""The whole product in one directory or tar file: rows and stored files, with a manifest of checksums.

A backup is made beside the running product and is of one moment: every file that its rows name is in it. Vectors are
not; `restore` has them made anew from the rows. Nothing of Redis is needed.
"""
