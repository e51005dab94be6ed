FROM python:3.13-slim
WORKDIR /app
COPY requirements.lock pyproject.toml README.md ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY connectors connectors
COPY ledger ledger
COPY sync sync
COPY booking booking
COPY workers workers
COPY api api
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
    && useradd --create-home slotledger && install -d -o slotledger -m 700 var
USER slotledger
# The books, the key and the mails of a service on its own; with PostgreSQL nothing is kept here.
VOLUME /app/var
EXPOSE 8000
CMD ["slotledger", "serve", "--host", "0.0.0.0", "--port", "8000"]
