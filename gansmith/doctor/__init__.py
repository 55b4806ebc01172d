"""The doctor: signs of a training, rules that read them, findings in plain words.

>>> from gansmith.doctor import diagnose, from_rows
>>> diagnose(from_rows([], {})).state
'too early'
"""

from gansmith.doctor.diagnose import diagnose
from gansmith.doctor.findings import Change, Diagnosis, Finding, Number
from gansmith.doctor.history import History, from_rows

__all__ = ["Change", "Diagnosis", "Finding", "History", "Number", "diagnose", "from_rows"]
