"""Charts of frames, drawn by altair: for reports (`krt plot`), the notebook and the dashboard.

Every function takes frames and gives a chart; none reads a database. Colours can be told apart with
any colour vision (Okabe and Ito 2008; viridis), labels name units, subtitles the source.
"""
