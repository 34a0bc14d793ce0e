"""``BarExporter``: stored bars as a file, made while it is sent."""

from tradewright.services.bar_export.exporter import BarExporter, ExportFormat

__all__ = ["BarExporter", "ExportFormat"]
