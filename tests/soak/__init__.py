"""A soak: minutes of mixed load against a real service, in which each response is checked, and each loss explained.

    exchanges     what is asked, and what the response must be
    raw_clients   clients that send or read slowly, wait, hang up, or send no HTTP
    clients       threads that make exchanges, one after the other
    journal       what came of each exchange, and what explains it if it was not answered
    process       the service's workers: which is killed, what another one holds
    minute        one minute: clients, bursts, a killed worker, a pause in which memory is measured
    report        the table, and whether the soak has passed

`python -m soak` runs it; docs/reliability.md says what it has found.
"""
