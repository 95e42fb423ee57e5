#!/bin/bash
# Run once by PostgreSQL's image: an ordinary role, which makes Holdfast's schema and sees nothing else.
set -euo pipefail
password=$(cat "${PASSWORDS:-/passwords}/application")
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set password="$password" --set database="$POSTGRES_DB" <<'SQL'
CREATE ROLE holdfast LOGIN PASSWORD :'password';
GRANT CREATE ON DATABASE :"database" TO holdfast;
SQL
