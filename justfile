# Run recipes with `uv run just RECIPE`. Each line of a recipe goes to .ci/recipe.py, not to a shell:
# it runs one command the same way on Linux, macOS and Windows, whose shells differ in how they quote,
# and hands the user's arguments ("$@") on unchanged. `krt` is the command that the package installs.
set shell := ["python", ".ci/recipe.py"]
set windows-shell := ["python", ".ci/recipe.py"]
set positional-arguments

# list all recipes
[private]
default:
    @just --list --unsorted

# run a trading day: simulated without KIS credentials, real with them
[group('run')]
[no-exit-message]
live *options:
    @krt live "$@"

# run the KIS simulator on its own, for any KIS client to talk to
[group('run')]
[no-exit-message]
sim *options:
    @krt sim "$@"

# what is missing, heartbeats, last bars; exit code 0 well, 1 amiss, 2 unknown
[group('run')]
[no-exit-message]
status *options:
    @krt status "$@"

# collect every session as a service of the system: just service install, remove, status, log
[group('run')]
[no-exit-message]
service *options:
    @krt service "$@"

# check key, clock, network, rights, disk, database and more, and say what to do
[group('run')]
[no-exit-message]
doctor *options:
    @krt doctor "$@"

# open the page: market, position, options, and how the day is going
[group('run')]
[no-exit-message]
dashboard *options:
    @krt dashboard "$@"

# what the settings cost in calls, time and disk; exit code 1 if something does not fit
[group('run')]
[no-exit-message]
plan *options:
    @krt plan "$@"

# show the sessions of a year
[group('run')]
[no-exit-message]
calendar *options:
    @krt calendar "$@"

# fetch what the history lacks: the fewest calls, newest first; --again: also what was settled
[group('history')]
[no-exit-message]
backfill *options:
    @krt backfill "$@"

# check the history with DuckDB; --fix mends what it finds
[group('history')]
[no-exit-message]
validate *options:
    @krt validate "$@"

# store the bars of a file (Parquet, CSV) by the checks of live ones: just import FILE
[group('history')]
[no-exit-message]
import *options:
    @krt import "$@"

# write sealed sessions as Parquet: just export --to DIR
[group('history')]
[no-exit-message]
export *options:
    @krt export "$@"

# search what is listed by code or Korean name: just symbols 005930; --refresh
[group('research')]
[no-exit-message]
symbols *options:
    @krt symbols "$@"

# the signals of a session at which a strategy turned
[group('research')]
[no-exit-message]
signals *options:
    @krt signals "$@"

# the trades that a session's signals make, and what they earn, by the rules of just backtest
[group('research')]
[no-exit-message]
trades *options:
    @krt trades "$@"

# compute the signals of the history again and compare them with those given
[group('research')]
[no-exit-message]
replay *options:
    @krt replay "$@"

# run a strategy over the history or a file and say what it would have earned
[group('research')]
[no-exit-message]
backtest *options:
    @krt backtest "$@"

# backtest a grid of parameters on all cores, or on a Ray cluster
[group('research')]
[no-exit-message]
sweep *options:
    @krt sweep "$@"

# does gamma exposure, does the straddle's premium say anything: just study gamma, premium
[group('research')]
[no-exit-message]
study *options:
    @krt study "$@"

# draw a day, its flows, options, the matrix or the coverage as PNG or SVG
[group('research')]
[no-exit-message]
plot *options:
    @krt plot "$@"

# open the notebook on the history
[group('research')]
[no-exit-message]
research *options:
    @krt research "$@"

# query the database, read-only: just sql "SELECT count(*) FROM futures_1m"; --tables, --describe TABLE
[group('database')]
[no-exit-message]
sql *query:
    @krt sql "$@"

# open the embedded database and print its address
[group('database')]
[no-exit-message]
db *options:
    @krt db "$@"

# batches that wait on disk or were set aside; --retry stores them
[group('database')]
[no-exit-message]
spool *options:
    @krt spool "$@"

# bring your own server to the newest schema
[group('database')]
[no-exit-message]
migrate *options:
    @krt migrate "$@"

# write the database into a new folder, verified: just backup --to DIR
[group('database')]
[no-exit-message]
backup *options:
    @krt backup "$@"

# bring a backup back into an empty database: just restore FROM
[group('database')]
[no-exit-message]
restore *options:
    @krt restore "$@"

# write the SQL for a reader and a writer with least privileges
[group('database')]
[no-exit-message]
db-roles *options:
    @krt db-roles "$@"

# Files run in the order that tests/conftest.py gives them: in that of their sizes, which is usual, the
# whole days would come last, when the other workers have nothing left to do. Three of them keep two
# cores busy: a third of the time a test waits, for a server, another process, the disk.
# run the tests
[group('development')]
[no-exit-message]
test *options:
    @pytest -n 3 --dist loadfile --no-loadscope-reorder "$@"

# check style, types and the direction of imports
[group('development')]
[no-exit-message]
check *options:
    @python .ci/check.py "$@"

# measure speed as ratios, side by side in one run
[group('development')]
[no-exit-message]
bench *parts:
    @python -m tests.benchmarks "$@"

# play trading seasons with faults drawn from a seed: just soak --sessions N --seed S
[group('development')]
[no-exit-message]
soak *options:
    @python -m tests.soak "$@"

# make the pictures of the READMEs from a simulated day
[group('development')]
[no-exit-message]
pictures *options:
    @python -m tests.pictures "$@"

# write the exact versions of all packages into pyproject.toml, their hashes into requirements.txt
[group('development')]
[no-exit-message]
lock *options:
    @python .ci/lock.py "$@"

# ask a database of advisories about every package that is installed, and check all hashes
[group('development')]
[no-exit-message]
audit *options:
    @python .ci/audit.py "$@"

# list the licence of every package that is installed; exit code 1 if one says none
[group('development')]
[no-exit-message]
licences *options:
    @python .ci/licences.py "$@"

# write what is installed as a CycloneDX bill of materials: just sbom FILE
[group('development')]
[no-exit-message]
sbom *options:
    @python .ci/sbom.py "$@"
