"""Ends well if two SQLite files have the same rows in each of the tables named after them."""
import sqlite3, sys

one, other = (sqlite3.connect(path) for path in sys.argv[1:3])
for table in sys.argv[3:]:
    names = sorted(row[1] for row in one.execute(f'PRAGMA table_info("{table}")'))
    select = f'SELECT {", ".join(names)} FROM "{table}" ORDER BY id'
    rows = one.execute(select).fetchall()
    assert rows and rows == other.execute(select).fetchall(), table
    print(table, len(rows))
