"""HTTP: what all protocols share.

messages         `Request` and `Response`, as the views of the two hot routes see them
access           API keys, and the scope that each route needs
root_path        the path under which a proxy has the service
cross_origin     requests from the pages of other origins (CORS)
routing          the Flask application, and the fast path for those two routes
body             reading a request body within the limits
multipart        the files of a multipart form
urlencoded       the pictures in fields of a form in one line
near_misses      for a path that there is not, the one that is probably meant
error_responses  from exceptions to `{"error": ...}`
"""
