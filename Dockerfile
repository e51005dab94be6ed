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
RUN pip install --no-cache-dir --no-deps --no-build-isolation . && useradd --create-home slotledger
USER slotledger
EXPOSE 8000
CMD ["slotledger", "serve", "--host", "0.0.0.0"]
