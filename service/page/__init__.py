"""A page on which people draw a digit or move features, and watch the models answer.

It is HTML, CSS and plain JavaScript modules: no build step, and no file from elsewhere. Everything on it goes through
the public API, so that it shows nothing that a client cannot have.

views             the page at `/`, for those who prefer HTML, and its files
templates/        the page
static/           its style, and a module of JavaScript for each part
"""
