"""A report of a period from the state database: gathered, judged, rendered, in that order and apart."""

from monitor.report.gather import gather
from monitor.report.judge import Judged, judged
from monitor.report.period import Period
from monitor.report.render import Form, rendered
from monitor.report.subject import Subject
from monitor.report.whole import Report, whole

__all__ = ["Form", "Judged", "Period", "Report", "Subject", "gather", "judged", "rendered", "whole"]
