# The service alone, without PyTorch and without training. Two stages: only what the second one copies is shipped.
#
#   docker build -t digitalis .                                            the CPU, 180 MB above the base image
#   docker build -t digitalis --build-arg EXTRAS=cuda .                    ONNX Runtime on CUDA, some 3 GB
#   docker build -t digitalis --build-arg EXTRAS=cpu,torchscript .         model.pt too: PyTorch brings its 5 GB
#   docker build -t digitalis --build-arg DEMOS=no .                       without the bundles of this repository
#   docker run --rm -p 8000:8000 --read-only --tmpfs /tmp digitalis

ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS packages
ARG EXTRAS=cpu
COPY deploy/locks /locks
RUN python -m venv --without-pip /opt/venv \
 && pip --no-cache-dir --disable-pip-version-check install --quiet --prefix /opt/venv --require-hashes \
      $(for extra in $(echo "$EXTRAS" | tr , ' '); do echo "--requirement /locks/$extra.txt"; done) \
 && find /opt/venv -type d -name tests -prune -exec rm -rf {} +

FROM ${PYTHON_IMAGE}
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DIGITALIS_BIND=0.0.0.0:8000 DIGITALIS_ALLOW_ANONYMOUS=1
WORKDIR /app
COPY --from=packages /opt/venv /opt/venv
COPY service service
COPY models models
ARG DEMOS=yes
# SageMaker runs an image with the argument `serve`.
RUN python -m compileall -q service && if [ "$DEMOS" != yes ]; then rm -rf models/*; fi \
 && printf '#!/bin/sh\nexec python -m service "$@"\n' > /usr/local/bin/serve && chmod 755 /usr/local/bin/serve
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["python", "-m", "service", "--health"]
CMD ["python", "-m", "service"]
