"""What a delivery costs: bytes, seconds and steps until a receiver has what the original can do.

    subject -> [delivery -> link -> assemble -> fine-tune] -> quality after so many seconds

The report weighs fine-tuning against a download by arithmetic, for one speed and a model at chance. Here files are really
sent over a limited link (`seeds.wire`), opened and fine-tuned, and every way is asked for the *same* quality. `delivery` says
what is sent and how it is opened, `expectation` what quality each reaches; `timing` is the clock, `calibration` this machine,
`arrival` the arithmetic, `plan` and `advice` what to do; `race`, `record` and `page` make reports/benchmarks/.
"""
