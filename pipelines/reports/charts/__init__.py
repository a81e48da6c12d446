"""Charts of frames, drawn by altair: for reports (`just plot`), the notebook and the dashboard.

Every function takes frames and returns a chart; none reads a database. The colours can be told
apart with any colour vision (Okabe and Ito 2008; viridis); labels name the unit, subtitles the
source of the data.
"""
