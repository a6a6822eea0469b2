"""Export, import and copying of rows.

    Reader -> pages of rows -> lines -> file              transfer/jsonl.py
    file -> lines -> rows -> RowLoader -> BulkWriter      transfer/load.py
    Reader -> pages of rows -> RowLoader -> BulkWriter     transfer/load.py

All three know rows alone, of the three tables alike (`model/tables.py`). Whatever arrives in a
store goes by its rules: no row is ever downgraded (`transfer/bulk_writer.py`).
"""
