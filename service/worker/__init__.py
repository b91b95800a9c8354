"""A Gunicorn worker for WSGI applications whose requests take from microseconds to seconds.

Gunicorn keeps the processes, the signals and the listening sockets. This package is one process: its threads take turns
in leading (leader/followers), a quick request costs no switch of threads, and a slow one delays the others by 20 ms at
most. It imports nothing else of this project.

    worker          the Gunicorn worker: threads, watchdog, what happens once a second, the end
    options         limits and hooks that the application's owner sets
    request_runner  what the leader does with a connection: read, run its requests, write
    leader          which thread leads
    event_loop      listening sockets, connections, epoll
    siblings        which workers are starting or ready, and when one of them begins to drain
    balancing       even numbers of connections over the workers
    memory          how many bytes the requests of the worker may hold at once
    connection      one connection: its socket, and what is still to be written
    http_parser     bytes to complete requests
    request_head    limits of a request's head, and its keys in the environment
    wsgi            a complete request to the bytes of its response
"""
