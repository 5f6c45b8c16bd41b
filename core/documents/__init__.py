"""Documents made of the books: PDF by typst, UBL 2.1, spreadsheets. Dictionaries in, bytes out; no database here.

Nothing heavy is imported before it is asked for: the typesetter is a program of its own (see `typesetting`).
"""

from core.documents.papers import credit_note_pdf, invoice_pdf, receipt_pdf, statement_pdf
from core.documents.tables import Column, table_csv, table_xlsx
from core.documents.typesetting import TypesettingFailed
from core.documents.ubl import ubl_xml

__all__ = [
    "Column",
    "TypesettingFailed",
    "credit_note_pdf",
    "invoice_pdf",
    "receipt_pdf",
    "statement_pdf",
    "table_csv",
    "table_xlsx",
    "ubl_xml",
]
