"""A page on which people draw a digit or move features, and watch the models answer.

It is HTML, CSS and plain JavaScript modules: no build step, and no file from elsewhere. Everything on it goes through
the public API, so that it shows nothing that a client cannot have.

views             the page at `/`, for those who prefer HTML, and its files
documentation     the page with Swagger UI at `/docs/`, and its style
templates/        the page
static/           the look that all pages share, its style, and a module of JavaScript for each part
"""
