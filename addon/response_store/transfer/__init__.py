"""Rows on the move: out of a store into a file, from a file into a store, from store to store.

    Reading -> pages of rows -> lines -> file            exporting.py
    file -> lines -> rows -> Bringer -> Writing          importing.py
    Reading -> pages of rows -> Bringer -> Writing       copying.py

All three know rows alone, of the three tables alike (`tables.py`). Whatever arrives in a store goes
by its rules: no row is ever lowered (`writing.py`).
"""
