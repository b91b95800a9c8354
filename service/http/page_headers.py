"""Header fields of every HTML page, beside its own Content-Security-Policy."""

PAGE_HEADERS = {
    "X-Frame-Options": "DENY",  # as `frame-ancestors`, for older browsers
    "Referrer-Policy": "no-referrer",  # other hosts do not learn the address of the service
    "Cross-Origin-Opener-Policy": "same-origin",  # nor can their pages reach this one's window
}
