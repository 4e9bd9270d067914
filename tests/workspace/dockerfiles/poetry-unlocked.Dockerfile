# pyproject.toml: its dependencies with dev; Python 3.11: requires ~3.11
# file: .diffufix-metadata/INSTALLER
# file: .diffufix-metadata/METADATA
# Made by diffufix from pyproject.toml.
FROM python:3.11-slim
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

# git, for dependencies in repositories
RUN apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*

# dependencies
RUN python -m pip install \
    'attrs>=25.1,<26' \
    'lib @ git+https://example.org/lib.git@v1' \
    'old[a]>=1,<2 ; (sys_platform == '"'"'linux'"'"')' \
    pytest==8.3.4

# pytest, unless it is there
RUN python -c 'import pytest' 2>/dev/null || python -m pip install pytest

# the project's metadata; its code comes at run time
COPY .diffufix-metadata/INSTALLER .diffufix-metadata/METADATA ./.diffufix-metadata/
RUN cp -r .diffufix-metadata "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shop-0.3.0.dist-info"

USER 65534:65534
