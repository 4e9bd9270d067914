# requirements.txt: the project has requirements.txt; .devcontainer/devcontainer.json names its base
# file: requirements.txt
# Made by diffufix from requirements.txt.
FROM THE-FOUNDATION
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
RUN python3 -m venv --system-site-packages --clear /opt/venv >/dev/null 2>&1 || python3 -m venv --system-site-packages --clear /opt/venv --without-pip

# dependencies
COPY requirements.txt ./
RUN python -m pip install -r requirements.txt

# pytest, unless it is there
RUN python -c 'import pytest' 2>/dev/null || python -m pip install pytest

USER 65534:65534
