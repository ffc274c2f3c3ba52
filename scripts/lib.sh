# Functions that several scripts share; sourced from the repository's root.
# shellcheck shell=bash

# build PROFILE: builds `portico` and the sample web service, always both: cargo chooses the features of dependencies for all
# that is built together, so building one alone would compile many of them a second time.
# With PORTICO_BUILT=1 it takes what `make test` has built just before.
build() {
    profile=$1
    if [ "${PORTICO_BUILT:-}" = 1 ] && [ -x "$(program portico)" ] && [ -x "$(program azureml)" ]; then
        return
    fi
    cargo build --locked --profile "$profile" -p server -p azureml --bins
}

# program portico|azureml: where `build` put it.
program() {
    local folder=$profile
    if [ "$profile" = dev ]; then
        folder=debug
    fi
    echo "${CARGO_TARGET_DIR:-target}/$folder/$1"
}

# data_folder: .portico/data, unless root runs Portico in a folder that the account of Postgres cannot enter.
data_folder() {
    local folder=$PWD/.portico/data
    if [ "$(id -u)" -eq 0 ] && [ -z "${DATABASE_URL:-}" ] && id postgres >/dev/null 2>&1 &&
        ! setpriv --reuid postgres --regid postgres --clear-groups test -x "$PWD"; then
        # One folder for each work tree: two of them must not share a database by accident.
        folder=/var/lib/portico/$(printf %s "$PWD" | sha256sum | cut -c 1-12)
        echo "Postgres' account cannot enter $PWD, so the data is in $folder" >&2
    fi
    echo "$folder"
}
