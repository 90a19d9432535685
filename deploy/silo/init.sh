#!/bin/sh
# Makes the bucket, and the platform's own key that may use this bucket and nothing else. May run again: a changed
# STACK_S3_SECRET_KEY is given to the store. `mc` is part of the object store's image.
# Reads MC_HOST_lake (the store with its root key), PLATFORM_BUCKET, PLATFORM_ACCESS_KEY, PLATFORM_SECRET_KEY.
set -eu
policy=$(dirname "$0")/policy.json
mc --quiet mb --ignore-existing "lake/$PLATFORM_BUCKET"
mc --quiet admin policy create lake lakehouse "$policy"
# Through stdin, so that the key is in no process list.
printf '%s\n%s\n' "$PLATFORM_ACCESS_KEY" "$PLATFORM_SECRET_KEY" | mc --quiet admin user add lake
mc --quiet admin policy attach lake lakehouse --user "$PLATFORM_ACCESS_KEY"
