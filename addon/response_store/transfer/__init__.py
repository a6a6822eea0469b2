"""Export, import and copying of rows.

    Reader -> pages of rows -> lines -> file              exporting.py
    file -> lines -> rows -> RowLoader -> BulkWriter      importing.py
    Reader -> pages of rows -> RowLoader -> BulkWriter     copying.py

All three know rows alone, of the three tables alike (`tables.py`). Whatever arrives in a store goes
by its rules: no row is ever downgraded (`writing.py`).
"""
