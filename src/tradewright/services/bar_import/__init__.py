"""Import of bars from files: CSV (plain, gzipped, zipped) and Parquet, checked row by row, all or nothing."""

from tradewright.services.bar_import.importer import ImportProgress, import_files
from tradewright.services.bar_import.summary import ImportSummary, SymbolSummary, format_summary

__all__ = ["ImportProgress", "ImportSummary", "SymbolSummary", "format_summary", "import_files"]
