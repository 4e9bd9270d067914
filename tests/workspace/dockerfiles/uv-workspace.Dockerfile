# uv.lock: uv.lock pins them; Python 3.12: the default
# note: core is installed as it is now: changes in it have no effect
# file: .diffufix-metadata/INSTALLER
# file: .diffufix-metadata/METADATA
# file: packages/core/pyproject.toml
# file: packages/core/src/core/__init__.py
# file: pyproject.toml
# file: uv.lock
# Made by diffufix from uv.lock.
FROM python:3.12-slim
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ARG UV_DEFAULT_INDEX
USER root
ENV \
    VIRTUAL_ENV=/opt/venv \
    UV_PROJECT_ENVIRONMENT=/opt/venv \
    PATH=/opt/venv/bin:/opt/tools/bin:$PATH \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /opt/diffufix/project

# the environment
RUN python3 -m venv /opt/venv

# the installer
RUN python3 -m venv /opt/tools && /opt/tools/bin/pip install uv

# dependencies as locked
COPY packages/core/pyproject.toml ./packages/core/
COPY packages/core/src/core/__init__.py ./packages/core/src/core/
COPY pyproject.toml uv.lock ./
RUN uv sync --frozen --no-install-project --inexact

# pytest, unless it is there
RUN python -c 'import pytest' 2>/dev/null || python -m pip install pytest

# the project's metadata; its code comes at run time
COPY .diffufix-metadata/INSTALLER .diffufix-metadata/METADATA ./.diffufix-metadata/
RUN cp -r .diffufix-metadata "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shop-1.0.dist-info"

USER 65534:65534
