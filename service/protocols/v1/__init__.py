"""The V1 protocol of TensorFlow Serving and KServe, with uploads of image files.

views            the routes
requests         a body of any media type to arrays
image_requests   ... files, base64 and 28x28 arrays of image models
vector_requests  ... JSON rows, named features and CSV of vector models
csv_rows         ... rows of CSV
table_shapes     ... rows as pandas and MLflow write them
tensor_requests  ... nested lists of models of which only the signature is known
feature_values   ... words of categories, and missing values
responses        outputs to labels and probabilities, or values
metadata         status and metadata of models
"""
