#!/usr/bin/env bash
# PID 1 (or tini's child) of the agents container: prepare as root, then loop over roles and projects as
# user agent. With arguments it runs those as agent and nothing else.
set -euo pipefail

CODE=/home/agent/disinto
DATA=/home/agent/data
REPOS=/home/agent/repos
PROJECTS=$CODE/projects
STATE=$CODE/state
LOG=$DATA/agent-entrypoint.log
HEARTBEAT=/tmp/disinto-heartbeat
FORGE_USER_FILE=/tmp/disinto-forge-user
BEAT_EVERY=5

# role -> its script, the name its switch has in state/, and the least seconds between two runs.
declare -Ar SCRIPT=(
    [review]=review/review-poll.sh [dev]=dev/dev-poll.sh [gardener]=gardener/gardener-run.sh
    [architect]=architect/architect-run.sh [planner]=planner/planner-run.sh
    [predictor]=predictor/predictor-run.sh [supervisor]=supervisor/supervisor-run.sh
)
declare -Ar SWITCH=(
    [review]=reviewer [dev]=dev [gardener]=gardener [architect]=architect [planner]=planner
    [predictor]=predictor [supervisor]=supervisor
)
POLL_INTERVAL=${POLL_INTERVAL:-300}
declare -Ar INTERVAL=(
    [review]=0 [dev]=0 [gardener]=${GARDENER_INTERVAL:-0} [architect]=${ARCHITECT_INTERVAL:-900}
    [planner]=${PLANNER_INTERVAL:-43200} [predictor]=${PREDICTOR_INTERVAL:-86400}
    [supervisor]=${SUPERVISOR_INTERVAL:-1200}
)
# A role that hangs must not stop the loop for ever: the model's own limit plus ten minutes.
ROLE_TIMEOUT=${ROLE_TIMEOUT:-$((${CLAUDE_TIMEOUT:-7200} + 600))}

say() {
    local line
    line="$(date -u +%Y-%m-%dT%H:%M:%SZ) $*"
    printf '%s\n' "$line"
    { printf '%s\n' "$line" >>"$LOG"; } 2>/dev/null || true
}

# fatal WHAT WHY NOW: the container ends, and says so where an operator looks.
fatal() {
    say "FATAL: $1"
    say "FATAL: $2"
    say "FATAL: $3"
    exit 1
}

# --- as root ---------------------------------------------------------------------------------

# A volume or a directory that Docker has just made belongs to root; what an operator owns is left alone.
own() {
    mkdir -p "$1" 2>/dev/null || return 0
    [ "$(stat -c %u "$1")" != 0 ] || chown agent:agent "$1" 2>/dev/null || true
}

prepare() {
    own "$DATA"
    own "$REPOS"
    [ -z "${CLAUDE_CONFIG_DIR:-}" ] || own "$CLAUDE_CONFIG_DIR"
    (umask 077 && touch "$LOG") 2>/dev/null || true
    chown agent:agent "$LOG" 2>/dev/null || true
    chmod 0600 "$LOG" 2>/dev/null || true
    rm -f "$HEARTBEAT" "$FORGE_USER_FILE"
}

# Roles are switched on once, at the very first start. Afterwards the files in state/ are the operator's:
# a role that was disabled stays disabled over restarts and versions.
first_start() {
    local role
    if [ -e "$STATE/.roles-initialised" ]; then return 0; fi
    if ! compgen -G "$STATE/.*-active" >/dev/null; then
        for role in dev reviewer gardener architect planner predictor; do
            touch "$STATE/.$role-active" 2>/dev/null || say "WARNING: $STATE cannot be written; no role is switched on"
        done
    fi
    touch "$STATE/.roles-initialised" 2>/dev/null || true
}

# --- checks ----------------------------------------------------------------------------------

project_files() { compgen -G "$PROJECTS/*.toml" || true; }

check_settings() {
    [ "${ENABLE_LLAMA_AGENT:-0}" != 1 ] || fatal \
        "ENABLE_LLAMA_AGENT=1 is set." \
        "That switch and an [agents.<name>] section would start the same agent twice." \
        "Remove it from the environment and describe the agent in the project's TOML file."
    command -v claude >/dev/null || [ "${AGENT_REQUIRES_CLAUDE:-1}" = 0 ] || fatal \
        "There is no claude command in this container." \
        "The roles run it; the image was built without one and none is mounted." \
        "Build with CLAUDE_CODE_VERSION, mount one at /usr/local/bin/claude, or set AGENT_REQUIRES_CLAUDE=0."
    [ -n "$(project_files)" ] || fatal \
        "There is no project: no *.toml in $PROJECTS." \
        "Project files are never part of the image, so ./projects of the instance must be mounted there." \
        "Mount it, or put a project file into it, and start the container again."
    if [ -n "${FACTORY_REPO:-}" ]; then
        say "FACTORY_REPO is set and ignored: the code that runs is the image's own (${DISINTO_IMAGE_VERSION:-unknown})"
    fi
}

choose_roles() {
    local wanted=${AGENT_ROLES:-review,dev,gardener,architect,planner,predictor} name
    ROLES=()
    # Older generators joined the names with blanks, newer ones with commas.
    for name in ${wanted//,/ }; do
        if [ -n "${SCRIPT[$name]:-}" ]; then ROLES+=("$name"); else say "WARNING: no role is called $name"; fi
    done
    [ "${#ROLES[@]}" -gt 0 ] || fatal "No role is left to run." "AGENT_ROLES is \"$wanted\"." \
        "Name at least one of: ${!SCRIPT[*]}."
}

report_login() {
    if [ -n "${ANTHROPIC_API_KEY:-}" ]; then
        say "Model access: API key"
    elif [ -f "${CLAUDE_CONFIG_DIR:-$HOME/.claude}/.credentials.json" ]; then
        say "Model access: OAuth credentials in ${CLAUDE_CONFIG_DIR:-$HOME/.claude}"
    else
        say "WARNING: neither ANTHROPIC_API_KEY nor OAuth credentials; roles that call the model will fail"
    fi
}

# --- waiting ---------------------------------------------------------------------------------

CHILD=''
beat() { : >"$HEARTBEAT"; }

# TERM is obeyed at once, whatever is under way: bash runs a trap only between commands and in `wait`,
# so nothing that may take long runs in the foreground.
leave() {
    trap '' TERM INT
    [ -z "$CHILD" ] || kill -TERM -- "-$CHILD" 2>/dev/null || true
    say "TERM: leaving the polling loop"
    exit 0
}

# nap SECONDS: interruptible at once, and the heart goes on beating.
nap() {
    local left=$1 slice
    while [ "$left" -gt 0 ]; do
        beat
        slice=$((left < BEAT_EVERY ? left : BEAT_EVERY))
        sleep "$slice" &
        wait $! || true
        left=$((left - slice))
    done
    beat
}

# supervise COMMAND...: in a process group of its own, so that whatever it starts can be ended with it.
# Its exit code is ours; the heart beats meanwhile.
supervise() {
    local code=0
    set -m
    "$@" </dev/null &
    set +m
    CHILD=$!
    while kill -0 "$CHILD" 2>/dev/null; do
        beat
        sleep 1 &
        wait -n "$CHILD" $! 2>/dev/null || true
    done
    wait "$CHILD" || code=$?
    CHILD=''
    return "$code"
}

# --- forge -----------------------------------------------------------------------------------

# git asks the helper when it needs it, and only for this forge. Both values are read from the
# environment and a file at that moment: neither is in a command line, a URL or git's configuration.
configure_git() {
    [ -n "${FORGE_URL:-}" ] || return 0
    # shellcheck disable=SC2016
    git config --global "credential.$FORGE_URL.helper" \
        '!f() { test "$1" = get || exit 0; echo "username=$(cat '"$FORGE_USER_FILE"')"; echo "password=$FORGE_PASS"; }; f'
}

# Who we are on the forge. The forge may come up after us, and guessing would commit under a wrong name.
ask_forge() {
    # The header goes in by standard input: an argument would show in the process list.
    printf 'header = "Authorization: token %s"\n' "$FORGE_TOKEN" |
        curl -fsS -m 10 -K - "$FORGE_URL/api/v1/user" | jq -r '.login // empty' >"$FORGE_USER_FILE"
}

identify() {
    local login
    [ ! -s "$FORGE_USER_FILE" ] || return 0
    [ -n "${FORGE_URL:-}" ] && [ -n "${FORGE_TOKEN:-}" ] || return 1
    supervise ask_forge 2>/dev/null || return 1
    login=$(cat "$FORGE_USER_FILE")
    [ -n "$login" ] || return 1
    git config --global user.name "$login"
    git config --global user.email "$login@disinto.local"
    say "Forge: $FORGE_URL as $login"
    if command -v tea >/dev/null; then
        GITEA_SERVER_URL=$FORGE_URL GITEA_SERVER_TOKEN=$FORGE_TOKEN tea login add --name forge >/dev/null 2>&1 || true
    fi
}

# read_project FILE: name, repository and ops repository, one a line.
read_project() {
    python3 - "$1" <<'PYTHON'
import sys
import tomllib

with open(sys.argv[1], "rb") as file:
    project = tomllib.load(file)
repo = project["repo"]
print(project["name"], repo, project.get("ops_repo") or f"{repo}-ops", sep="\n")
PYTHON
}

# clone REPOSITORY DIRECTORY: once; a failure is said and tried again at the next turn.
clone() {
    [ ! -d "$2/.git" ] || return 0
    if GIT_TERMINAL_PROMPT=0 supervise timeout 600 git clone -q "$FORGE_URL/$1.git" "$2" 2>/tmp/clone.err; then
        say "Cloned $1 to $2"
    else
        say "WARNING: $1 could not be cloned: $(tail -n 1 /tmp/clone.err)"
        return 1
    fi
}

# --- the loop --------------------------------------------------------------------------------

# due ROLE: switched on, and its interval is over.
due() {
    local role=$1 mark=$DATA/last-run/$1
    [ -e "$STATE/.${SWITCH[$role]}-active" ] || return 1
    [ "${INTERVAL[$role]}" -gt 0 ] && [ -e "$mark" ] || return 0
    [ $(($(date +%s) - $(stat -c %Y "$mark"))) -ge "${INTERVAL[$role]}" ]
}

# run_role ROLE FILE: the role's own script on one project.
run_role() {
    local script=$CODE/${SCRIPT[$1]} code=0
    [ -f "$script" ] || return 0
    supervise timeout "$ROLE_TIMEOUT" bash "$script" "$2" || code=$?
    [ "$code" -eq 0 ] || say "WARNING: $1 ended with $code on $2"
}

turn() {
    local file name repo ops role
    local -A ran=()
    identify || say "The forge does not answer yet, or the token is not valid: ${FORGE_URL:-FORGE_URL is not set}"
    while read -r file; do
        say "Processing project TOML: $file"
        if ! { read -r name && read -r repo && read -r ops; } < <(read_project "$file" 2>/dev/null); then
            say "WARNING: $file is not a project file (name and repo are needed); skipped"
            continue
        fi
        if [ -s "$FORGE_USER_FILE" ]; then
            clone "$repo" "$REPOS/$name" || continue
            clone "$ops" "$REPOS/$name-ops" || true
        fi
        for role in "${ROLES[@]}"; do
            due "$role" || continue
            run_role "$role" "$file"
            ran[$role]=1
        done
    done < <(project_files)
    # Only now: with several projects a role is due for all of them or for none.
    mkdir -p "$DATA/last-run" 2>/dev/null || return 0
    for role in "${!ran[@]}"; do touch "$DATA/last-run/$role"; done
}

# --- from here -------------------------------------------------------------------------------

if [ "$(id -u)" -eq 0 ]; then
    prepare
    [ $# -eq 0 ] || exec gosu agent "$@"
    first_start
    exec gosu agent "$0"
fi
[ $# -eq 0 ] || exec "$@"

trap leave TERM INT
cd "$CODE"
say "Disinto agents ${DISINTO_IMAGE_VERSION:-unknown} starting"
check_settings
choose_roles
report_login
configure_git
say "Entering polling loop (interval: ${POLL_INTERVAL}s, roles: $(IFS=, && echo "${ROLES[*]}"))"
while :; do
    beat
    turn
    nap "$POLL_INTERVAL"
done
