"""The server: Gunicorn's parent process and signals, and a worker that is made for short answers.

    worker      the process: reading, answering, deadlines, the end
    lead        how threads take it from each other
    sockets     what it listens on, and its connections
    share       how workers share these out
    connection  one of them: what comes, what is still to be sent
    reader      bytes to whole requests
    answer      a whole request to the bytes of its answer

The application is plain WSGI: any other server runs it too.
"""
