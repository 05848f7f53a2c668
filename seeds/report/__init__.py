"""The report: what rows found, kept in one file, and everything that people read made from it.

    subject -> ... -> verdict -> finding -> claims.json -> [tables, README, figures, page] -> reports/

`finding` is one row's verdict as plain data, `raw` the runs behind it, `session` where and when they were measured.
`claims_file` keeps them; a run of a few rows erases no other. `line` says what rows come to together, `terminal`, `tables`,
`readme`, `page` and `published` say it to different readers, and `write` makes them all. Nothing here measures anything, and
no figure is typed in: what cannot be made from the stored rows is not told.
"""
