"""Charts as SVG: pure functions of numbers, for the page, its environments, and the reports.

They carry classes and no styles, so that a page may forbid inline styles; web/static/charts.css gives them their looks.
"""

from monitor.charts.bars import bars
from monitor.charts.lines import lines
from monitor.charts.series import Series
from monitor.charts.sparkline import sparkline
from monitor.charts.waterfall import Part, waterfall

__all__ = ["Part", "Series", "bars", "lines", "sparkline", "waterfall"]
