# Run recipes with `uv run just RECIPE`. No shell is involved: see pipelines/recipe.py.
set shell := ["python", "-m", "pipelines.recipe"]
set windows-shell := ["python", "-m", "pipelines.recipe"]
set positional-arguments

# list all recipes
[private]
default:
    @just --list --unsorted

# run a trading day: simulated without KIS credentials, real with them
[no-exit-message]
live *options:
    @krt live "$@"

# run the KIS simulator on its own, for any KIS client to talk to
[no-exit-message]
sim *options:
    @krt sim "$@"

# query the database, read-only: just sql "SELECT count(*) FROM futures_1m"
[no-exit-message]
sql *query:
    @krt sql "$@"

# last heartbeat of each component, last bar per symbol, open gaps
[no-exit-message]
status *options:
    @krt status "$@"

# draw a picture: just plot day|smile|matrix|coverage --date D --out FILE.png
[no-exit-message]
plot *options:
    @krt plot "$@"

# run the tests
[no-exit-message]
test *options:
    @pytest -n 2 --dist loadgroup "$@"

# check style, types and the direction of imports
[no-exit-message]
check:
    @ruff check .
    @ruff format --check .
    @lint-imports
    @mypy

# write exact versions of everything into pyproject.toml
[no-exit-message]
lock:
    @python .ci/lock.py
