# The image that web, worker, beat and migrate share. 3.12 is the newest Python all locked wheels exist for,
# so nothing is compiled and no system library is added.
FROM python:3.12.14-slim-trixie

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 DATA_DIR=/data STATIC_COLLECTED=1 STATIC_ROOT=/app/staticfiles
WORKDIR /app

COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY . .
RUN SECRET_KEY=only-while-building python manage.py collectstatic --noinput --verbosity 0 \
  && groupadd --gid 10001 app \
  && useradd --uid 10001 --gid app --no-create-home --home-dir /data --shell /usr/sbin/nologin app \
  && install -d -o app -g app -m 700 /data
USER app
VOLUME /data
EXPOSE 8000

CMD ["gunicorn", "coalition.wsgi", "--config=python:coalition.serving", "--bind=0.0.0.0:8000"]
