"""Backups: the tables of one moment as Parquet, with a manifest that proves them; and the way back.

DIR/krt-live-20261127-154500/
  manifest.json        what is in it: versions, rows and checksum of each table, hash of each file
  tables/NAME.parquet  one file for each table or partition that has rows
  spool/, kis/         batches that waited for the database, and KIS's trading days
  trades/, archive/, book/
                       files of old trades, of old months of stock bars and of the book, shared with
                       the backup before while they stay the same

A folder of such a name is whole: it is made under another name, checked, and renamed at the end.
"""
