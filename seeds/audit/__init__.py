"""The audit: the report's own protocol as data, beside a sound one, on its own subjects.

    subject -> extract -> Seed -> store -> assemble -> evaluate / fine-tune -> verdict -> report
               [a protocol says how each of these stages is done, and with which of the report's faults]

Everywhere else in this package there is one protocol, the sound one. Here every fault of the report's is a switch: `protocol`
names them, `slices` and `arms` say which examples and models that means, `classifier` and `language` score a subject under any
combination of them, `ledger` shares the effect out among them, `checks` find each of them by its evidence, and `statements`
are the report's headlines under any protocol. `heads`, `counting`, `noise` and `tiny` look into single figures of the report.
`findings` are what is stored of all this, `page` and `seeds.figures.audit` what is shown.
"""
