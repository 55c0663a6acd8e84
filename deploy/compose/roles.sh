#!/bin/bash
# Run by the database's image when it makes its files: one role owns Pawl's tables, one keeps rows in them.
set -euo pipefail
psql -v ON_ERROR_STOP=1 -v migrate="$(cat /run/secrets/migrate_password)" -v app="$(cat /run/secrets/app_password)" \
  -U "${POSTGRES_USER:-postgres}" -d postgres <<'SQL'
CREATE ROLE pawl_migrate LOGIN CREATEROLE PASSWORD :'migrate';
CREATE ROLE pawl_app LOGIN NOINHERIT PASSWORD :'app';
CREATE DATABASE pawl OWNER pawl_migrate;
SQL
