#!/bin/sh
# Runs once, in an empty database container: the owner, who migrates, and the app role, who owns nothing.
set -eu
password_in() { sed 's#^[a-z]*://[^:]*:\([^@]*\)@.*#\1#' "/run/secrets/$1"; }
psql -v ON_ERROR_STOP=1 -v owner="$(password_in owner_database_url)" -v app="$(password_in database_url)" \
  --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE coalition_owner LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'owner';
CREATE ROLE coalition_app LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE PASSWORD :'app';
CREATE DATABASE coalition OWNER coalition_owner;
SQL
