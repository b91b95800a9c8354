"""A Gunicorn worker for WSGI applications whose requests take from microseconds to seconds.

Gunicorn keeps the processes, the signals and the listening sockets. This package is one process: its threads take turns
in leading (leader/followers), a quick request costs no switch of threads, and a slow one delays the others by 20 ms at
most. It imports nothing else of this project.

    worker          the Gunicorn worker: threads, watchdog, what happens once a second, the end
    options         limits and hooks that the application's owner sets
    request_runner  what the leader does with a connection: read, admit and run its requests, write
    admission       which requests wait, and which are rejected because they would wait for too long
    response_sender responses are sent, and connections left in the state that follows
    responder       a request to its response: the application's, or the worker's own
    estimates       how long requests take, by what earlier ones took
    leader          which thread leads
    event_loop      connections, epoll
    listeners       listening sockets: when connections are accepted
    siblings        which workers are starting or ready, and when one of them begins to drain
    balancing       even numbers of connections over the workers
    memory          how many bytes the requests of the worker may hold at once
    limit_log       a line in the log when a limit is reached, once a minute
    connection      one connection: its socket, its time limits, and what is still to be written
    http_parser     bytes to complete requests
    request_head    a request's head: its limits, and its WSGI environment
    request_body    a request's body: one buffer, within the memory budget
    wsgi            a complete request to the bytes of its response
"""
