#!/bin/sh
# From a clean environment and the wheel to a routed answer of two skills.
#
# usage: sh examples/quickstart/quickstart.sh WHEEL FOLDER
#
# FOLDER is created. PYTHON names the interpreter (default: python3). QUICKSTART_PACKAGES names a
# site-packages folder that has all dependencies; with it, pip installs the wheel alone.
set -eu

if [ $# -ne 2 ]; then
  sed -n 's/^# usage: /usage: /p' "$0" >&2
  exit 2
fi
clone=$(cd "$(dirname "$0")/../.." && pwd)
wheel=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
mkdir "$2"
folder=$(cd "$2" && pwd)

shown() {
  printf '\n$ %s\n' "$*"
  "$@"
}

shown "${PYTHON:-python3}" -m venv "$folder/venv"
PATH=$folder/venv/bin:$PATH
if [ -n "${QUICKSTART_PACKAGES:-}" ]; then
  shown pip install --quiet --no-index --no-deps "$wheel"
  packages=$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  echo "$QUICKSTART_PACKAGES" >"$packages/quickstart.pth"
else
  shown pip install "${wheel}[hf]"
fi
installed=$(date +%s)

# Two fine-tunes of one base, as you have them after your own training.
printf '\n$ python -m examples.quickstart.models %s\n' "$folder/models"
(cd "$clone" && python -m examples.quickstart.models "$folder/models")

export SKILLPM_HOME="$folder/home"
mkdir "$folder/project"
cd "$folder/project"
shown skillpm init --base ../models/base
for name in capitals plurals; do
  shown skillpm pack ../models/base "../models/$name" --name "acme/$name" --version 1.0.0 \
    --license CC0-1.0 --probes "../models/$name-probes.jsonl" \
    --router "../models/$name-questions.jsonl" --router-background ../models/general.jsonl
  shown skillpm publish "acme-$name-1.0.0.skillpack"
done
shown skillpm config set graft.mode routed
shown skillpm install acme/capitals acme/plurals --guard
shown skillpm list
shown skillpm run "Capital of Peru?"
shown skillpm run "Plural of mouse?"
shown skillpm run --compare --max-tokens 24 "Plural of mouse?"
shown skillpm uninstall acme/plurals
shown skillpm rollback

printf '\nThe commands took %s s, the installation apart. The project is %s\n' \
  "$(($(date +%s) - installed))" "$folder/project"
