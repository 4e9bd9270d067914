# requirements.txt: the project has requirements.txt, requirements-dev.txt; Python 3.12: requires >=3.8
# file: .diffufix-metadata/INSTALLER
# file: .diffufix-metadata/METADATA
# file: limits.txt
# file: requirements-dev.txt
# file: requirements.txt
# file: requirements/web.txt
# file: wheels/own.whl
# Made by diffufix from requirements.txt.
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

# dependencies
COPY limits.txt requirements-dev.txt requirements.txt ./
COPY requirements/web.txt ./requirements/
COPY wheels/own.whl ./wheels/
RUN python -m pip install -r requirements.txt -r requirements-dev.txt

# what the project itself declares
RUN python -m pip install \
    orjson

# pytest, unless it is there
RUN python -c 'import pytest' 2>/dev/null || python -m pip install pytest

# the project's metadata; its code comes at run time
COPY .diffufix-metadata/INSTALLER .diffufix-metadata/METADATA ./.diffufix-metadata/
RUN cp -r .diffufix-metadata "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/shop-2.0.dist-info"

USER 65534:65534
