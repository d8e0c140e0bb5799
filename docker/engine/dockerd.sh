# shellcheck shell=bash
# Our own dockerd: launched, waited for, noted, ended. Sourced; needs lib.sh and $STATE.

engine_answers() { docker version --format '{{.Server.Version}}'; }

# A dockerd that dies at once should not cost thirty seconds.
engine_or_death() { engine_answers || ! alive "$STATE/dockerd"; }

boot() { cat /proc/sys/kernel/random/boot_id; }

# launch_dockerd BINARY ARGUMENT...: started, answering, and noted with the way it was started.
launch_dockerd() {
    local log=$STATE/dockerd.log pid
    drop_pidfiles
    # setsid keeps the id and frees the engine from this terminal's Ctrl-C.
    # shellcheck disable=SC2016
    pid=$(as_root sh -c 'PATH=$PATH:/usr/sbin:/sbin; export PATH; exec 9>&-
        log=$1; shift; setsid "$@" >"$log" 2>&1 </dev/null & echo $!' dockerd "$log" "$@") || return
    remember "$STATE/dockerd" "$pid"
    { boot && printf '%s\n' "$@"; } >"$STATE/dockerd.argv"
    wait_until 30 engine_or_death || echo "dockerd did not answer within 30 seconds"
    if engine_answers >/dev/null 2>&1; then
        note_containerd "$pid"
        return 0
    fi
    tail -n 8 "$log"
    end_noted "$STATE/dockerd"
    return 1
}

# drop_pidfile NOTE FILE: a killed daemon leaves its pidfile, and where nobody has collected the dead
# process yet the next daemon takes it for alive. It goes only when it names the process that we noted.
drop_pidfile() {
    local noted
    if [ ! -f "$1" ] || alive "$1"; then return 0; fi
    read -r noted _ <"$1"
    [ "$(as_root cat "$2" 2>/dev/null)" != "$noted" ] || as_root rm -f "$2"
}

drop_pidfiles() {
    drop_pidfile "$STATE/dockerd" /var/run/docker.pid
    drop_pidfile "$STATE/containerd" /var/run/docker/containerd/containerd.pid
}

# dockerd ends its containerd itself; noted all the same, for the day dockerd is killed. The kernel
# is asked directly: a minimal system has no ps and no pgrep.
note_containerd() {
    local stat pid
    for stat in /proc/[0-9]*/stat; do
        pid=${stat%/stat} pid=${pid#/proc/}
        if grep -qE "^$pid \\(containerd\\) . $1 " "$stat" 2>/dev/null; then
            remember "$STATE/containerd" "$pid"
        fi
    done
}

# Killed, and in this boot: its containers went on running, and only a dockerd can end them in order.
dockerd_was_killed() {
    [ -f "$STATE/dockerd" ] && ! alive "$STATE/dockerd" && [ -f "$STATE/dockerd.argv" ] &&
        [ "$(head -n 1 "$STATE/dockerd.argv")" = "$(boot)" ]
}

# Containers get their grace when dockerd stops: up to a minute before it is killed.
end_dockerd() {
    local argv
    if dockerd_was_killed; then
        mapfile -t argv < <(tail -n +2 "$STATE/dockerd.argv")
        DOCKER_HOST=$(cat "$STATE/endpoint") && export DOCKER_HOST
        # Somebody else's engine may be answering there by now: then there is nothing of ours to end.
        engine_answers >/dev/null 2>&1 || launch_dockerd "${argv[@]}" || return
    fi
    end_noted "$STATE/dockerd" 60 && end_noted "$STATE/containerd" 10
}
