"""What clients speak.

    v1/            TensorFlow Serving's and KServe's protocol: image files, feature vectors, CSV
    v2/            the Open Inference Protocol over REST, with Triton's binary tensors and classification
    health         liveness and readiness
    sagemaker      SageMaker's two paths, which are aliases
    metrics        Prometheus
    openapi/       OpenAPI documents, from the views, the types that they check with, and the models
    documentation  those documents, and a page to try requests on
    parsing        JSON to checked types, for both protocols
    nearly_json    advice about a body that is not JSON
    tensor_values  the elements of a tensor in JSON, by its data type, for both
    examples       an example request for each model

Each protocol has its views, its requests (bytes to arrays), its responses (arrays to bytes) and its metadata. Neither
imports the other.
"""
