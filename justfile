# Run recipes with `uv run just RECIPE`. Their lines go to .ci/recipe.py instead of a shell: the
# shells of Linux and Windows agree on nothing, and it hands the user's arguments on as they are.
set shell := ["python", ".ci/recipe.py"]
set windows-shell := ["python", ".ci/recipe.py"]
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

# last heartbeat of each component, last bar of each symbol, what is amiss
[no-exit-message]
status *options:
    @krt status "$@"

# query the database, read-only: just sql "SELECT count(*) FROM futures_1m"
[no-exit-message]
sql *query:
    @krt sql "$@"

# check the history with DuckDB; --fix mends what it finds
[no-exit-message]
validate *options:
    @krt validate "$@"

# fetch what the history lacks: the fewest calls, newest first
[no-exit-message]
backfill *options:
    @krt backfill "$@"

# show the sessions of a year
[no-exit-message]
calendar *options:
    @krt calendar "$@"

# compute the signals of the history again and compare them with those given
[no-exit-message]
replay *options:
    @krt replay "$@"

# run a strategy over the history or a file and say what it would have earned
[no-exit-message]
backtest *options:
    @krt backtest "$@"

# backtest a grid of parameters on all cores, or on a Ray cluster
[no-exit-message]
sweep *options:
    @krt sweep "$@"

# draw a day, the smile, the matrix or the coverage as PNG or SVG
[no-exit-message]
plot *options:
    @krt plot "$@"

# open the notebook on the history
[no-exit-message]
research *options:
    @krt research "$@"

# open the page that shows how the day is going
[no-exit-message]
dashboard *options:
    @krt dashboard "$@"

# open the embedded database and print its address
[no-exit-message]
db *options:
    @krt db "$@"

# bring a server of yours to the newest schema
[no-exit-message]
migrate *options:
    @krt migrate "$@"

# write the SQL for a reader and a writer with least privileges
[no-exit-message]
db-roles *options:
    @krt db-roles "$@"

# write sealed sessions as Parquet: just export --to DIR
[no-exit-message]
export *options:
    @krt export "$@"

# measure speed as ratios, side by side in one run
[no-exit-message]
bench *parts:
    @python -m tests.benchmarks "$@"

# play trading seasons with faults drawn from a seed: just soak --sessions N --seed S
[no-exit-message]
soak *options:
    @python -m tests.soak "$@"

# Files run in the order of their names: in that of their sizes, which is usual, the whole days would
# come last, when the other worker has nothing left to do.
# run the tests
[no-exit-message]
test *options:
    @pytest -n 2 --dist loadfile --no-loadscope-reorder "$@"

# check style, types and the direction of imports
[no-exit-message]
check:
    @ruff check .
    @ruff format --check .
    @lint-imports
    @mypy

# write the exact versions of all packages into pyproject.toml
[no-exit-message]
lock:
    @python .ci/lock.py

# ask a database of advisories about every package that is installed
[no-exit-message]
audit:
    @python .ci/audit.py
