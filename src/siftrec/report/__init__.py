"""Pages people look at: one self-contained HTML file each."""

from siftrec.report.page import audit_page, noise_page

__all__ = ["audit_page", "noise_page"]
