"""What every step wrote → one page: report.html, self-contained, and the same as report.md."""
