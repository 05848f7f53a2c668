"""The audit: the report's own protocol as data, beside a sound one, on its own subjects.

    subject -> extract -> Seed -> store -> assemble -> evaluate / fine-tune -> verdict -> report
               [a protocol says how each of these stages is done, and with which of the report's faults]

Everywhere else in this package there is one protocol, the sound one. Here every fault of the report's is a switch: `protocol`
names them, `classifier` and `language` score a subject under any combination of them, `ledger` shares the effect out among
them, `checks` find each of them by its evidence, `statements` say what the report concludes and what it may, and `page` and
`plot` show both. `heads`, `counting`, `noise` and `tiny` look into single figures of the report.
"""
