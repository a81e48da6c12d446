"""A web page for during the session: is the day going well?"""

from pathlib import Path

PAGE = Path(__file__).with_name("page.py")
