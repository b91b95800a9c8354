"""The command `digitalis`, in front of `service` and `training`.

Neither of the two imports this package. Each is imported only when one of its subcommands is called: the service runs
where training is not installed, and `digitalis --help` takes no longer than Python itself.
"""
