"""The V1 protocol of TensorFlow Serving and KServe, with uploads of image files.

views            the routes
options          query parameters, and those of the body
every_model      what requests and responses have whatever the model is, for the OpenAPI document
requests         a body of any media type to arrays
counts           how many instances there may be
form_fields      ... fields of a form of vector models
decoded          what is left of a request when its body has been read; errors of single instances
image_requests   ... files, base64 and arrays of image models
image_files      ... files
picture_shapes   ... files and arrays as people nest them
pixel_arrays     ... arrays of pixels
vector_requests  ... JSON rows, named features and CSV of vector models
csv_rows         ... rows of CSV
csv_text         ... the text of CSV
joined_lines     ... rows of CSV without line breaks
table_shapes     ... rows as pandas and MLflow write them
json_instances   ... instances of JSON one by one
tensor_requests  ... nested lists of models of which only the signature is known
feature_values   ... words of categories, and missing values
responses        outputs to labels and probabilities, or values
image_debug      ... and the images that the network got
metadata         status and metadata of models
"""
